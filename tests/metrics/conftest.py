"""Scikit-learn's digits (8×8) as RealData, and an extractor whose features can be computed by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from saddlepoint.metrics.features.base import FeatureExtractor, Features
from saddlepoint.types import DataInfo, Split


class Images:
    """Images in memory that count how often they are read."""

    def __init__(self, splits: Mapping[Split, tuple[Tensor, Tensor | None]], fingerprint: str = "0123456789") -> None:
        self.splits, self.reads = splits, 0
        images, labels = splits["train"]
        names = None if labels is None else tuple(str(label) for label in range(int(labels.max()) + 1))
        sizes = {split: len(images) for split, (images, _) in splits.items()}
        self.info = DataInfo("digits", tuple(images.shape[1:]), names, sizes, fingerprint)

    def uint8_batches(self, split: Split, batch_size: int = 500) -> Iterator[tuple[Tensor, Tensor | None]]:
        self.reads += 1
        images, labels = self.splits[split]
        for start in range(0, len(images), batch_size):
            rows = slice(start, start + batch_size)
            yield images[rows], None if labels is None else labels[rows]


class Grid(FeatureExtractor):
    """The means of the four quarters of an image, also used as logits; counts its calls."""

    name = "grid"
    has_logits = True
    resize = "none"
    dim = 4

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []

    @property
    def version(self) -> str:
        return "1"

    def prepare(self, real: Any, cache_dir: Path) -> None:
        """Do nothing."""

    def extract(self, images: Tensor) -> Features:
        self.calls.append(len(images))
        pool = torch.nn.functional.adaptive_avg_pool2d(images.float(), 2).mean(1).flatten(1) / 64
        return Features(pool, pool)

    def state(self) -> dict[str, Any]:
        return {"name": self.name}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], cache_dir: Path) -> Self:
        return cls()


def make_digits(labelled: bool = True, fingerprint: str = "0123456789") -> Images:
    data = load_digits()
    images = torch.from_numpy((data.images * 16).clip(0, 255).astype("uint8"))[:, None]
    labels = torch.from_numpy(data.target).long()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    parts: dict[Split, Tensor] = {"train": order[:1437], "held_out": order[1437:]}
    return Images({s: (images[i], labels[i] if labelled else None) for s, i in parts.items()}, fingerprint)


@pytest.fixture
def digits() -> Images:
    return make_digits()


@pytest.fixture
def unlabelled() -> Images:
    return make_digits(labelled=False)


@pytest.fixture
def other_digits() -> Images:
    """The first half of the digits, as another data set."""
    whole = make_digits()
    halves: dict[Split, tuple[Tensor, Tensor | None]] = {
        split: (images[: len(images) // 2], labels) for split, (images, labels) in whole.splits.items()
    }
    return Images(halves, "9876543210")


@pytest.fixture
def grid() -> Grid:
    return Grid()


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the digits' classifier for all tests of the session."""
    return tmp_path_factory.mktemp("cache")
