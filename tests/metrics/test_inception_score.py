"""The Inception Score against its limits, a naive computation and torchmetrics."""

import numpy as np
import pytest
import torch
from torchmetrics.image.inception import InceptionScore as TorchmetricsScore

from saddlepoint.metrics.inception_score import inception_score
from saddlepoint.metrics.real import RealStatistics
from saddlepoint.metrics.rows import permutation


def test_uniform_predictions_score_one() -> None:
    assert inception_score(torch.zeros(50, 7), splits=5) == (pytest.approx(1), pytest.approx(0))


def test_certain_and_balanced_predictions_score_the_number_of_classes() -> None:
    logits = torch.eye(6).repeat(20, 1) * 1e4
    assert inception_score(logits, splits=2) == (pytest.approx(6), pytest.approx(0, abs=1e-12))


def test_impossible_classes_contribute_nothing() -> None:
    logits = torch.full((8, 4), -torch.inf)
    logits[:, :2] = 0
    assert inception_score(logits, splits=1)[0] == pytest.approx(1)


@pytest.mark.parametrize("splits", [1, 3, 10])
def test_equals_a_naive_computation(splits: int) -> None:
    logits = torch.randn(103, 9, generator=torch.Generator().manual_seed(0)) * 3
    p = np.exp(logits.double().numpy())
    p /= p.sum(1, keepdims=True)
    scores = []
    for i in range(splits):
        part = p[103 * i // splits : 103 * (i + 1) // splits]
        marginal = part.mean(0)
        scores.append(np.exp(np.mean([np.sum(row * np.log(row / marginal)) for row in part])))
    mean, deviation = inception_score(logits, splits)
    assert mean == pytest.approx(np.mean(scores), rel=1e-12)
    assert deviation == pytest.approx(np.std(scores), rel=1e-9, abs=1e-12)


def test_equals_torchmetrics() -> None:
    logits = torch.randn(200, 5, generator=torch.Generator().manual_seed(1)) * 2
    theirs = TorchmetricsScore(feature=torch.nn.Identity(), splits=1)
    theirs.update(logits)
    assert inception_score(logits, splits=1)[0] == pytest.approx(float(theirs.compute()[0]), rel=1e-5)


@pytest.mark.parametrize(("n", "splits", "expected"), [(1440, 8, 2), (3000, 4, 1), (360, 8, 8)])
def test_held_out_images_are_in_splits_as_large_as_the_samples(digits, grid, tmp_path, n, splits, expected) -> None:
    """360 held-out images are 2 splits of 180, as 1,440 samples are 8 of 180."""
    real = RealStatistics.compute(digits, grid, tmp_path, n=n, metrics=("is",), splits=splits)
    theirs = TorchmetricsScore(feature=torch.nn.Identity(), splits=1)
    scores = []
    logits = grid(digits.splits["held_out"][0]).logits
    for part in logits[permutation(360, 0, "is")].chunk(expected):
        theirs.update(part)
        scores.append(float(theirs.compute()[0]))
        theirs.reset()
    assert real.held_out["is_grid"] == (pytest.approx(np.mean(scores), rel=1e-6), 360)
