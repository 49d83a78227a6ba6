"""The Inception Score against its limits, a naive computation and torchmetrics."""

import numpy as np
import pytest
import torch
from torchmetrics.image.inception import InceptionScore as TorchmetricsScore

from saddlepoint.metrics.inception_score import inception_score


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
