"""The labelled subset of the training data."""

from __future__ import annotations

import pytest
import torch

from saddlepoint.data import DataModule, Digits
from saddlepoint.data.labelled import balanced_rows, labelled_batch
from saddlepoint.errors import UserError

LABELS = torch.arange(600).remainder(3)[torch.randperm(600, generator=torch.Generator().manual_seed(0))]


def test_each_class_has_an_equal_number_of_distinct_rows() -> None:
    rows = balanced_rows(LABELS, 3, 30)
    assert len(rows.unique()) == 30
    assert torch.bincount(LABELS[rows]).tolist() == [10, 10, 10]
    assert torch.bincount(LABELS[balanced_rows(LABELS, 3, 32)]).tolist() == [11, 11, 10]
    assert sorted(balanced_rows(LABELS, 3, 600).tolist()) == list(range(600))


def test_rows_are_fixed_random_and_nested() -> None:
    few, many = balanced_rows(LABELS, 3, 30), balanced_rows(LABELS, 3, 90)
    assert torch.equal(few, balanced_rows(LABELS, 3, 30))
    assert set(few.tolist()) < set(many.tolist())
    first = torch.cat([(k == LABELS).nonzero()[:10, 0] for k in range(3)])
    assert len(set(few.tolist()) & set(first.tolist())) < 10
    # Over 30 draws of 600, the mean row is 300 with a standard deviation of about 32.
    assert 170 < few.double().mean() < 430


def test_samples_and_labels_belong_together() -> None:
    data = DataModule(Digits())
    batch, labels = labelled_batch(data, 20), data.labels("train")
    assert labels is not None
    rows = balanced_rows(labels, 10, 20)
    whole = data.batch("train", 0, len(labels))
    assert torch.equal(batch.samples, whole.samples[rows])
    assert torch.equal(batch.labels, labels[rows])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("count", "line"),
    [
        (2, "labelled: needs at least one sample of each of the 3 classes, got 2"),
        (602, "labelled: 602 labels require 201 samples of class 0, which has only 200; reduce it"),
    ],
)
def test_too_few_samples_are_rejected(count: int, line: str) -> None:
    with pytest.raises(UserError) as refused:
        balanced_rows(LABELS, 3, count)
    assert str(refused.value) == line
