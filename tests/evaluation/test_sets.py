"""Scores of sets of samples against NumPy, default numbers of samples, states, and errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from saddlepoint.data import DataModule
from saddlepoint.data.sources.image_set import ImageSet
from saddlepoint.errors import UserError
from saddlepoint.evaluation.base import Settings
from saddlepoint.evaluation.sets import SetJudge, reseeded, set_judge
from saddlepoint.evaluation.sharing import Translated
from saddlepoint.metrics.evaluation import Evaluator
from saddlepoint.metrics.features import RandomFeatures, extractor_from_state
from saddlepoint.metrics.quantise import quantise
from saddlepoint.metrics.real import RealStatistics
from saddlepoint.systems import GAN, Pix2Pix


def frechet(one: Any, other: Any) -> float:
    """Return the Fréchet distance between two sets of features [N, F], by the eigenvalues of Σ₁Σ₂."""
    a, b = np.cov(one.T), np.cov(other.T)
    cross = np.sqrt(np.linalg.eigvals(a @ b).real.clip(0)).sum()
    return float(np.square(one.mean(0) - other.mean(0)).sum() + np.trace(a) + np.trace(b) - 2 * cross)


def settings(**options: Any) -> Settings:
    given: dict[str, Any] = {"n": 300, "metrics": ["fid"], **options}
    return Settings(**given)


def images(folder: Path, **sizes: int) -> None:
    """Write folders of random 8x8 images."""
    random = np.random.default_rng(0)
    for split, size in sizes.items():
        (folder / split).mkdir()
        for i in range(size):
            Image.fromarray(random.integers(0, 256, (8, 8), dtype=np.uint8)).save(folder / split / f"{i:03}.png")


def test_fid_of_generated_samples_equals_numpys(digits: DataModule, gan: GAN) -> None:
    extractor = RandomFeatures()
    judge = set_judge(RandomFeatures(), digits, settings(seed=5), suffix="_x")
    card = judge.score(gan)[0]
    fake = extractor(quantise(gan.sample(300, seed=5))).pool.double().numpy()
    real = extractor(digits.arrays("train").samples).pool.double().numpy()
    assert card.value == pytest.approx(frechet(real, fake), rel=1e-3)
    assert (card.metric, card.n, card.seed) == ("fid_random_x", 300, 5)
    assert card.reference == f"digits/train:1472@{digits.info.fingerprint[:8]}"
    assert judge.monitor == "fid_random_x"
    raw = set_judge(RandomFeatures(), digits, settings(seed=5, ema=False)).score(gan)[0]
    assert (card.ema, raw.ema) == (True, False)


def test_another_seed_draws_other_samples(digits: DataModule, gan: GAN) -> None:
    judge = set_judge(RandomFeatures(), digits, settings())
    value = judge.score(gan)[0].value
    assert judge.at(1).score(gan)[0].value != value
    assert judge.at(1).at(0).score(gan)[0].value == value
    assert reseeded(judge.evaluator, 0) is judge.evaluator


def test_pictures_are_named_with_the_suffix(digits: DataModule, gan: GAN) -> None:
    judge = set_judge(RandomFeatures(), digits, settings(metrics=["fid", "duplicates"]), suffix="_x")
    assert judge.pictures(gan, []) == {}
    pictures = judge.pictures(gan, judge.score(gan))
    spaces = ("random", "pixels")
    assert set(pictures) == {f"{name}_{space}_x" for name in ("closest_pairs", "duplicate_curve") for space in spaces}


def test_the_spectrum_is_drawn(digits: DataModule, gan: GAN) -> None:
    judge = set_judge(RandomFeatures(), digits, settings(metrics=["spectrum"]), suffix="_x")
    assert set(judge.pictures(gan, judge.score(gan))) == {"spectrum_x"}


def test_the_state_rebuilds_the_judge_without_data(digits: DataModule, gan: GAN, pix2pix: Pix2Pix, pairs: Any) -> None:
    judge = set_judge(RandomFeatures(), digits, settings())
    state = judge.state()
    assert state is not None
    extractor = extractor_from_state(state["extractor"], Path("unused"))
    evaluator = Evaluator(extractor, RealStatistics.from_state(state["reference"]), ["fid"], state["n"])
    assert SetJudge(evaluator).score(gan)[0].value == judge.score(gan)[0].value
    translated = Translated(pairs, "inputs_to_targets", "inputs", "targets")
    assert set_judge(RandomFeatures(), translated.real(pairs), settings(n=100), translated).state() is None


@pytest.mark.parametrize(
    ("held_out", "asked", "most", "n"),
    [(20, None, None, 100), (150, None, None, 150), (150, None, 120, 120), (150, 400, None, 400)],
)
def test_the_default_number_of_samples(
    tmp_path: Path, held_out: int, asked: int | None, most: int | None, n: int
) -> None:
    images(tmp_path, train=200, held_out=held_out)
    data = DataModule(ImageSet(str(tmp_path), splits=True))
    assert set_judge(RandomFeatures(), data, settings(n=asked), most=most).evaluator.n == n


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"metrics": ["fidd"]}, "metrics: unknown metric 'fidd'; did you mean 'fid'?"),
        ({"n": 3, "splits": 4}, "splits: 3 samples cannot be split into 4 parts; reduce it"),
        ({"metrics": ["is"]}, "metrics: features=random do not support the metric 'is'; choose other features"),
        (
            {"metrics": ["fid_infinity"]},
            "n: fid_infinity needs at least 1,024 samples with 256 features; set it to 1024",
        ),
    ],
)
def test_mistakes_are_named(digits: DataModule, options: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        set_judge(RandomFeatures(), digits, settings(**options))
    assert str(caught.value) == line


@pytest.mark.parametrize(
    ("train", "held_out", "line"),
    [
        (20, 1, r"has 1 held-out image\(s\), and scores need at least two; add images"),
        (1, 5, r"has 1 training image\(s\), and"),
    ],
)
def test_one_image_is_too_few(tmp_path: Path, train: int, held_out: int, line: str) -> None:
    images(tmp_path, train=train, held_out=held_out)
    with pytest.raises(UserError, match=line):
        set_judge(RandomFeatures(), DataModule(ImageSet(str(tmp_path), splits=True)), settings(n=10))


def test_inference_does_not_change_the_global_generator(digits: DataModule, gan: GAN) -> None:
    judge = set_judge(RandomFeatures(), digits, settings())
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    judge.score(gan)
    assert torch.equal(torch.rand(3), expected)
