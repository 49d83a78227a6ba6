"""Distances to the nearest training image against SciPy, and copies distinguished from new images."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from saddlepoint.metrics.directions import lower_is_better
from saddlepoint.metrics.evaluation import Evaluator
from saddlepoint.metrics.features import RandomFeatures
from saddlepoint.metrics.real import RealStatistics
from saddlepoint.metrics.rows import selection

AT = {
    "ema": True, "batchnorm": "running", "labels": "none", "images_seen": 640, "generator_updates": 9, "revision": "a",
}  # fmt: skip


@pytest.fixture
def evaluator(digits, tmp_path) -> Evaluator:
    extractor = RandomFeatures()
    reference = RealStatistics.compute(digits, extractor, tmp_path, n=200, metrics=("nearest_train",))
    return Evaluator(extractor, reference, ("nearest_train",), n=200)


def nearest(digits, images: torch.Tensor) -> np.ndarray:
    extractor = RandomFeatures()
    train, own = extractor(digits.splits["train"][0]).pool, extractor(images).pool
    return cdist(own.double().numpy(), train.double().numpy()).min(1)


def test_figures_equal_the_full_matrix(evaluator, digits) -> None:
    """All 1,437 training images are searched, not only as many as there are samples."""
    images = 255 - digits.splits["held_out"][0][:200]
    ratio, share = evaluator.score([images], **AT)
    own = nearest(digits, images)
    np.testing.assert_allclose(evaluator.details["nearest_train_random"]["distances"], own, rtol=1e-9)
    held_out = evaluator.references["nearest_train"]["fresh"]
    assert len(held_out) == 200
    assert ratio.value == pytest.approx(np.median(own) / np.median(held_out), rel=1e-9)
    assert share.value == np.mean(own <= held_out.numpy()[1])
    assert ratio.beside["real_median"] == pytest.approx(np.median(held_out), rel=1e-9)
    assert (ratio.metric, share.metric) == ("nearest_train_random", "memorised_random")
    assert (ratio.real, share.real) == (1, 2 / 200)
    assert ratio.beside["real_rows"] == share.beside["real_rows"] == 1437


NAMES = ("nearest_train", "authenticity", "data_copying")


def test_of_a_large_split_a_choice_is_searched_and_its_size_is_on_the_cards(digits, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("saddlepoint.metrics.real.TRAIN_POOL_FLOATS", 500 * 256)
    extractor = RandomFeatures()
    reference = RealStatistics.compute(digits, extractor, tmp_path, n=200, metrics=NAMES)
    evaluator = Evaluator(extractor, reference, NAMES, n=200)
    images = 255 - digits.splits["held_out"][0][:200]
    cards = evaluator.score([images], **AT)
    names = ("nearest_train_random", "memorised_random", "authenticity_random", "data_copying_random")
    assert tuple(card.metric for card in cards) == names
    assert [card.beside["real_rows"] for card in cards] == [500] * 4
    searched = digits.splits["train"][0][selection(1437, 500, seed=0)]
    own, train = (extractor(one).pool.double().numpy() for one in (images, searched))
    np.testing.assert_allclose(evaluator.details["nearest_train_random"]["distances"], cdist(own, train).min(1))


def test_copies_are_distinguished_from_new_images(evaluator, digits) -> None:
    train, held_out = digits.splits["train"][0], digits.splits["held_out"][0]
    ratio, share = evaluator.score([train[500:700]], **AT)
    assert (ratio.value, share.value) == (0, 1)
    assert evaluator.details["nearest_train_random"]["nearest"].tolist() == list(range(500, 700))
    ratio, share = evaluator.score([held_out[160:]], **AT)
    assert 0.8 < ratio.value < 1.25
    assert share.value < 0.1
    ratio, share = evaluator.score([torch.cat([held_out[200:350], train[:50]])], **AT)
    assert ratio.value > 0.6
    assert 0.25 <= share.value < 0.35


def test_without_held_out_images_training_images_are_the_baseline(digits, tmp_path) -> None:
    train = digits.splits["train"]
    alone = type(digits)({"train": train, "held_out": (train[0][:0], None)})
    extractor = RandomFeatures()
    reference = RealStatistics.compute(alone, extractor, tmp_path, n=100, metrics=("nearest_train",))
    matrix = cdist(*(2 * [extractor(train[0]).pool.double().numpy()]))
    np.fill_diagonal(matrix, np.inf)
    expected = np.sort(matrix.min(1))
    np.testing.assert_allclose(reference.tensors["nearest_train.fresh"], expected, rtol=1e-9)


def test_directions() -> None:
    assert not lower_is_better("nearest_train_random")
    assert lower_is_better("memorised_random")


def test_large_statistics_are_not_stored_in_checkpoints(digits, tmp_path, monkeypatch) -> None:
    extractor = RandomFeatures()
    statistics = RealStatistics.compute(digits, extractor, tmp_path, n=100, metrics=("fid", "nearest_train"))
    assert RealStatistics.from_state(statistics.state()).header == statistics.header
    monkeypatch.setattr("saddlepoint.metrics.real.EMBEDDABLE_BYTES", 1_000_000)  # 256 features have moments of 0.5 MB
    carried = RealStatistics.from_state(statistics.state())
    assert carried.header["metrics"] == ["fid"]
    assert set(carried.tensors) == {"fid.mean", "fid.root"}
