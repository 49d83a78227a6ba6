"""Each failure of a generator is detected by the score that is meant for it, and real images by none."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from saddlepoint.data import MNIST, DataModule
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.metrics.evaluation import Evaluator
from saddlepoint.metrics.features import ClassifierFeatures
from saddlepoint.metrics.real import RealStatistics
from saddlepoint.metrics.sharpness import blurred, noised

AT = {"ema": False, "batchnorm": "none", "labels": "none", "images_seen": 0, "generator_updates": 0, "revision": "a"}
SPACES = ("classifier", "pixels")


def judge(real, cache, n: int, reference_n: int | None = None):
    """Return a function from images to their cards by name."""
    extractor = ClassifierFeatures()
    extractor.prepare(real, cache)
    metrics = ("fid", "is", "duplicates", "class_kl")
    reference = RealStatistics.compute(real, extractor, cache, n=n, metrics=metrics, splits=1, reference_n=reference_n)

    def cards(images: Tensor) -> dict[str, ScoreCard]:
        evaluator = Evaluator(extractor, reference, metrics, n=len(images), splits=1)
        return {card.metric: card for card in evaluator.score(images.split(500), **AT)}

    return cards


def tell_apart(cards, train: Tensor, labels: Tensor, held_out: Tensor, noise: float) -> None:
    n, random = len(held_out), torch.Generator().manual_seed(0)
    real = cards(held_out)
    assert all(real[f"support_{space}"].note.startswith("no collapse seen") for space in SPACES)
    assert all("collapsed" not in real[f"class_support_{space}"].note for space in SPACES)

    memorised = cards(train[torch.arange(0, 10 * 37, 37)][torch.randint(10, (n,), generator=random)])
    for space in SPACES:
        low, high = memorised[f"support_{space}"].interval
        assert low <= 10 <= high
        assert memorised[f"support_{space}"].note.startswith("collapsed")
        assert memorised[f"support_{space}"].beside["half"] == pytest.approx(4, abs=1)  # P(4 of 10) = .496
    assert memorised["is_classifier"].value > 0.5 * real["is_classifier"].value  # which does not detect it

    one = cards(train[labels == 1][:n])
    assert one["class_kl_classifier"].value > 1.9  # log 10 = 2.3 less what the classifier gets wrong
    assert one["class_kl_classifier"].value > 50 * one["class_kl_classifier"].beside["floor"]
    assert all(
        "collapsed" not in one[f"class_support_{space}"].note for space in SPACES
    )  # the class itself is as diverse as in real images

    soft = cards(blurred(held_out))
    assert all(soft[f"support_{space}"].note.startswith("no verdict: samples are blurrier") for space in SPACES)
    assert soft["sharpness_gap"].value > 4 * soft["sharpness_gap"].beside["limit"]
    # the blurred baseline has about as many near copies as these samples
    beside = soft["support_pixels"].beside
    assert 1 / 3 < beside["blurred_rate"] / beside["rate"] < 3
    assert beside["blurred_rate"] > 20 * beside["real_rate"]

    rough = cards(noised(held_out, random, noise))
    assert all(rough[f"support_{space}"].note.startswith("no verdict: samples are rougher") for space in SPACES)
    assert rough["duplicates_pixels"].value == 0  # noise hides copies
    assert rough["sharpness_gap"].value > real["sharpness_gap"].value + rough["sharpness_gap"].beside["limit"] / 2


def test_digits(digits, session_cache) -> None:
    train, labels = digits.splits["train"]
    tell_apart(judge(digits, session_cache, n=360), train, labels, digits.splits["held_out"][0], noise=120.0)


@pytest.mark.slow
def test_mnist(data_root, tmp_path) -> None:
    data = DataModule(MNIST(str(data_root)), image_size=32)
    train, held_out = data.arrays("train"), data.arrays("held_out").samples
    cards = judge(data, tmp_path, n=5000, reference_n=20_000)
    tell_apart(cards, train.samples, train.labels, held_out[:5000], noise=25.0)
