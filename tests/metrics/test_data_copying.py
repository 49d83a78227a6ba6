"""C_T against SciPy's Mann-Whitney statistic and loops over cells, and on copies."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu

from saddlepoint.errors import UserError
from saddlepoint.evaluation.sets import check_servable
from saddlepoint.metrics.base import Sample
from saddlepoint.metrics.data_copying import CELLS, DataCopying
from saddlepoint.metrics.evaluation import Evaluator
from saddlepoint.metrics.features import RandomFeatures
from saddlepoint.metrics.real import RealStatistics

AT = {
    "ema": True, "batchnorm": "running", "labels": "none", "images_seen": 640, "generator_updates": 9, "revision": "a",
}  # fmt: skip


def by_loop(samples: np.ndarray, test: np.ndarray, train: np.ndarray, centres: np.ndarray) -> tuple[float, list[float]]:
    """Return C_T and the z-scores by the authors' definitions, with τ = 20 / m."""
    of_samples, of_test, of_train = (cdist(rows, centres).argmin(1) for rows in (samples, test, train))
    total, weight, scores = 0.0, 0.0, []
    for cell in range(len(centres)):
        own, real, there = samples[of_samples == cell], test[of_test == cell], train[of_train == cell]
        m, n = len(own), len(real)
        if m / len(samples) <= 20 / len(samples) or n == 0:
            continue
        statistic = mannwhitneyu(cdist(own, there).min(1), cdist(real, there).min(1), alternative="less").statistic
        z = (statistic - (m * n / 2 - 0.5)) / np.sqrt(m * n * (m + n + 1) / 12)
        scores.append(float(z))
        total, weight = total + n / len(test) * z, weight + n / len(test)
    return total / weight, scores


@pytest.fixture
def evaluator(digits, tmp_path) -> Evaluator:
    extractor = RandomFeatures()
    reference = RealStatistics.compute(digits, extractor, tmp_path, n=360, metrics=("data_copying",))
    return Evaluator(extractor, reference, ("data_copying",), n=300)


def test_it_equals_scipys(evaluator, digits) -> None:
    extractor = RandomFeatures()
    train, held_out = (digits.splits[split][0] for split in ("train", "held_out"))
    images = torch.cat([train[:100], held_out[:150], 255 - held_out[:50]])
    (card,) = evaluator.score([images], **AT)
    rows = [extractor(one).pool.double().numpy() for one in (images, held_out, train)]
    centres = evaluator.references["data_copying"]["centres"].double().numpy()
    assert len(centres) == CELLS
    expected, scores = by_loop(*rows, centres)
    assert card.value == pytest.approx(expected, rel=1e-9)
    assert card.beside["lowest_z"] == pytest.approx(min(scores), rel=1e-9)
    assert card.beside["cells"] == len(scores)
    assert (card.metric, card.n, card.real) == ("data_copying_random", 300, None)


def test_copies_and_far_images_are_told_apart(evaluator, digits) -> None:
    train, held_out = (digits.splits[split][0] for split in ("train", "held_out"))
    values = [evaluator.score([images[:300]], **AT)[0].value for images in (train, held_out, 255 - train)]
    assert values[0] < -5
    assert abs(values[1]) < 1
    assert values[2] > 5


def test_cells_with_few_samples_are_left_out() -> None:
    random = torch.Generator().manual_seed(0)

    def cloud(*sizes: int) -> torch.Tensor:
        return torch.cat([torch.randn(n, 2, generator=random) + 100 * i for i, n in enumerate(sizes)])

    metric = DataCopying()
    train, test, samples = cloud(50, 50, 50), cloud(30, 0, 30), cloud(20, 25, 25)
    real = Sample(pool=train, train_pool=train, held_out=Sample(pool=test))
    reference = metric.reference(real)
    (figure,) = metric.figures(Sample(pool=samples), reference, RandomFeatures())
    expected, scores = by_loop(
        *(rows.double().numpy() for rows in (samples, test, train)), reference["centres"].numpy()
    )
    assert len(scores) == figure.beside["cells"] == 1  # one has 20 samples, and one no held-out images
    assert figure.value == pytest.approx(expected) == pytest.approx(scores[0])
    assert metric.figures(Sample(pool=samples[:40]), reference, RandomFeatures()) == []


def test_mistakes_are_named(digits, grid, tmp_path) -> None:
    alone = type(digits)({"train": digits.splits["train"], "held_out": (digits.splits["train"][0][:0], None)})
    with pytest.raises(UserError, match="data_copying needs held-out images"):
        RealStatistics.compute(alone, grid, tmp_path, n=100, metrics=("data_copying",))
    reference = RealStatistics.compute(digits, grid, tmp_path, n=60, metrics=("data_copying",))
    with pytest.raises(UserError) as caught:
        check_servable(["data_copying"], Evaluator(grid, reference, ["data_copying"], n=60))
    assert str(caught.value) == "n: data_copying needs at least 61 samples with 4 features; set it to 61"
