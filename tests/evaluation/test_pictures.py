"""Nearest training images against SciPy, and the pictures of an evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import Tensor

from saddlepoint.data import DataModule
from saddlepoint.evaluation import pictures
from saddlepoint.evaluation.base import Settings
from saddlepoint.evaluation.sets import set_judge
from saddlepoint.metrics.features import RandomFeatures
from saddlepoint.systems import GAN


def test_the_nearest_training_images_are_scipys(digits: DataModule) -> None:
    images, train = digits.arrays("held_out").samples[:20], digits.arrays("train").samples
    nearest = cdist(images.flatten(1).numpy(), train.flatten(1).numpy()).argmin(1)
    assert torch.equal(pictures.nearest_training(images, digits), train[nearest])


@pytest.fixture
def details() -> dict[str, Tensor]:
    return {
        "pairs": torch.tensor([[0, 1], [2, 3]]),
        "distances": torch.tensor([0.5, 1.0]),
        "threshold": torch.tensor(0.7),
    }


def test_pairs_are_drawn_above_their_nearest_training_images(
    digits: DataModule, details: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = digits.arrays("held_out").samples
    asked: list[list[int]] = []

    def images_at(indices: Tensor) -> Tensor:
        asked.append(indices.tolist())
        return images[indices]

    alone = pictures.pairs("pixels", details, images_at, None)
    above = pictures.pairs("pixels", details, images_at, digits)
    assert asked == [[0, 1, 2, 3]] * 2
    assert above.height > alone.height
    monkeypatch.setattr(pictures, "MOST_TRAINING_IMAGES", 1000)  # fewer than the 1,472 digits
    assert np.array_equal(pictures.pairs("pixels", details, images_at, digits), alone)


def test_each_score_with_details_has_its_pictures(digits: DataModule, gan: GAN) -> None:
    judge = set_judge(RandomFeatures(), digits, Settings(n=100, metrics=["fid", "duplicates"]))
    cards = judge.score(gan)

    def images_at(indices: Tensor) -> Any:
        return digits.arrays("held_out").samples[indices]

    drawn = pictures.draw(judge.evaluator, cards, images_at, None)
    assert set(drawn) == {
        "closest_pairs_random", "closest_pairs_pixels", "duplicate_curve_random", "duplicate_curve_pixels",
    }  # fmt: skip
    assert all(len(np.unique(np.asarray(picture))) > 1 for picture in drawn.values())
