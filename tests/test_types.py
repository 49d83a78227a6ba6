"""Batches of all types: samples and condition, slicing, concatenation and moving to a device."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from saddlepoint import trees
from saddlepoint.types import BATCHES, Batch, Captioned, DataInfo, ImageBatch, Paired, Unpaired, VectorBatch

N = 5
LABELS = torch.arange(N)


def images(channels: int = 1) -> torch.Tensor:
    return torch.rand(N, channels, 4, 4, generator=torch.Generator().manual_seed(channels))


KINDS: dict[type[Batch], tuple[dict[str, torch.Tensor], str, str]] = {
    ImageBatch: ({"images": images()}, "images", "labels"),
    VectorBatch: ({"points": torch.rand(N, 2)}, "points", "labels"),
    Paired: ({"inputs": images(), "targets": images(3)}, "targets", "inputs"),
    Unpaired: ({"a": images(), "b": images(3)}, "b", "labels"),
    Captioned: ({"images": images(), "captions": torch.rand(N, 6)}, "images", "captions"),
}
"""The columns of each type, and which are the samples and the condition."""


@pytest.mark.parametrize("kind", KINDS)
def test_samples_and_condition(kind: type[Batch]) -> None:
    columns, samples, condition = KINDS[kind]
    batch: Any = kind(**columns, labels=LABELS)
    assert len(batch) == N
    assert kind.sampled == samples
    assert batch.samples is columns[samples]
    assert batch.condition is {**columns, "labels": LABELS}[condition]
    assert batch.labels is LABELS
    plain = kind(**columns)
    assert plain.labels is None
    assert len(plain) == N
    assert (plain.condition is None) == (condition == "labels")


@pytest.mark.parametrize("kind", KINDS)
def test_all_columns_are_sliced_and_moved_together(kind: type[Batch]) -> None:
    batch = kind(**KINDS[kind][0], labels=LABELS)
    first, second = trees.split(batch, 2)
    assert (type(first), len(first), len(second)) == (kind, 3, 2)
    for field in dataclasses.fields(kind):
        whole = getattr(batch, field.name)
        assert torch.equal(getattr(first, field.name), whole[:3])
        assert torch.equal(getattr(second, field.name), whole[3:])
        assert torch.equal(getattr(trees.concatenate(first, second), field.name), whole)
    moved = batch.to("meta")
    assert type(moved) is kind
    assert all(leaf.is_meta for leaf in trees.leaves(moved))
    assert trees.take(kind(**KINDS[kind][0]), slice(2)).labels is None


def test_the_names_of_columns_determine_the_type() -> None:
    assert {kind: tuple(columns) for kind, (columns, _, _) in KINDS.items()} == {k: n for n, k in BATCHES.items()}


def info(shape: tuple[int, ...], columns: dict[str, tuple[int, ...]] | None = None) -> DataInfo:
    return DataInfo("some", shape, None, {"train": 1, "held_out": 1}, "0", columns)


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (info((1, 8, 8)), ImageBatch),
        (info((2,)), VectorBatch),
        (info((3, 8, 8), {"inputs": (1, 8, 8), "targets": (3, 8, 8)}), Paired),
        (info((3, 8, 8), {"a": (3, 8, 8), "b": (3, 8, 8)}), Unpaired),
        (info((3, 8, 8), {"images": (3, 8, 8), "captions": (6,)}), Captioned),
    ],
)
def test_the_type_of_a_data_sets_batches(found: DataInfo, kind: type[Batch]) -> None:
    assert found.batch is kind
