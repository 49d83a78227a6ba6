"""The fraction of authentic samples against a loop over samples."""

import numpy as np
import pytest
import torch

from saddlepoint.metrics.authenticity import authentic
from saddlepoint.metrics.evaluation import Evaluator
from saddlepoint.metrics.features import RandomFeatures
from saddlepoint.metrics.real import RealStatistics

AT = {
    "ema": True, "batchnorm": "running", "labels": "none", "images_seen": 640, "generator_updates": 9, "revision": "a",
}  # fmt: skip


def by_loop(samples: np.ndarray, train: np.ndarray) -> list[bool]:
    found = []
    for sample in samples:
        to_train = np.linalg.norm(train - sample, axis=1)
        nearest = int(to_train.argmin())
        others = np.linalg.norm(np.delete(train, nearest, 0) - train[nearest], axis=1)
        found.append(bool(others.min() < to_train[nearest]))
    return found


def test_it_equals_a_loop() -> None:
    random = np.random.default_rng(0)
    train, samples = random.normal(size=(80, 3)), random.normal(size=(200, 3)) * 0.9
    samples[:10] = train[:10]
    train[50] = train[51]  # copies within the training set have a neighbour at distance 0
    found = authentic(torch.from_numpy(samples), torch.from_numpy(train)).tolist()
    assert found == by_loop(samples, train)
    assert not any(found[:10])
    assert 40 < sum(found) < 160


def test_figures_and_real_images(digits, tmp_path) -> None:
    extractor = RandomFeatures()
    reference = RealStatistics.compute(digits, extractor, tmp_path, n=200, metrics=("authenticity", "nearest_train"))
    evaluator = Evaluator(extractor, reference, ("authenticity",), n=200)
    train, held_out = (digits.splits[split][0] for split in ("train", "held_out"))
    images = torch.cat([train[:60], 255 - held_out[:140]])
    (card,) = evaluator.score([images], **AT)
    rows, own = (extractor(one).pool.double().numpy() for one in (train, images))
    assert card.metric == "authenticity_random"
    assert card.value == np.mean(by_loop(own, rows)) == pytest.approx(140 / 200)
    assert 0.3 < card.real < 0.8
    assert card.n == 200


def test_the_reference_of_nearest_train_suffices(digits, grid, tmp_path) -> None:
    reference = RealStatistics.compute(digits, grid, tmp_path, n=100, metrics=("nearest_train",))
    images = digits.splits["held_out"][0][:100]
    (card,) = Evaluator(grid, reference, ("authenticity",), n=100).score([images], **AT)
    own, rows = (grid(one).pool.double().numpy() for one in (images, digits.splits["train"][0]))
    assert card.value == np.mean(by_loop(own, rows))
