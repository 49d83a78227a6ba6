"""The Feature Likelihood Divergence against SciPy's densities and a fit by autograd in float64."""

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from torch import Tensor

from saddlepoint.errors import UserError
from saddlepoint.metrics import feature_likelihood
from saddlepoint.metrics.base import Sample
from saddlepoint.metrics.evaluation import Evaluator
from saddlepoint.metrics.feature_likelihood import FeatureLikelihood, Mixture
from saddlepoint.metrics.features import RandomFeatures
from saddlepoint.metrics.real import RealStatistics
from saddlepoint.metrics.rows import permutation

AT = {
    "ema": True, "batchnorm": "running", "labels": "none", "images_seen": 640, "generator_updates": 9, "revision": "a",
}  # fmt: skip


def log_normal(rows: Tensor, centre: Tensor, log_variance: Tensor, scale: float = 1.0) -> Tensor:
    squares = scale * (rows - centre).square().sum(-1)
    return -squares / (2 * log_variance.exp()) - rows.shape[-1] / 2 * (math.log(2 * math.pi) + log_variance)


def fitted(centres: Tensor, rows: Tensor, batch: int = 10_000) -> Tensor:
    """Return log σ² of each centre, by autograd and loops over centres."""
    squares = torch.stack([(rows - centre).square().sum(1) for centre in centres], 1)
    variances = ((squares.min(0).values + 1e-3) / rows.shape[1]).log().requires_grad_()
    origin = torch.zeros((), dtype=rows.dtype, requires_grad=True)
    optimizer = torch.optim.Adam([variances, origin], lr=0.5)
    for _ in range(50):
        for some in rows.split(batch):
            terms = [log_normal(some, c, v) - math.log(len(centres)) for c, v in zip(centres, variances, strict=True)]
            terms.append(log_normal(some, rows.mean(0), origin, scale=0.81))
            loss = -torch.logsumexp(torch.stack(terms), 0).mean() / rows.shape[1]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            variances.data.clamp_(-40, 20)
    return variances.detach()


def nll(rows: Tensor, centres: Tensor, log_variances: Tensor) -> float:
    """Return the mean of -log p(x) / F under the mixture, by SciPy."""
    logs = [
        multivariate_normal.logpdf(rows.numpy(), centre.numpy(), float(v.exp()) * np.eye(rows.shape[1]))
        for centre, v in zip(centres, log_variances, strict=True)
    ]
    return float(-(logsumexp(logs, axis=0) - math.log(len(centres))).mean() / rows.shape[1])


@pytest.fixture
def clouds() -> list[Tensor]:
    """40 training rows, 30 held-out rows and 25 samples of 3 features, in float64."""
    random = torch.Generator().manual_seed(0)
    return [torch.randn(n, 3, generator=random, dtype=torch.float64) for n in (40, 30, 25)]


def test_densities_equal_scipys(clouds) -> None:
    train, test, _ = clouds
    mixture = Mixture(train.float())
    mixture.log_variances = torch.linspace(-2, 1, 40)
    expected = nll(test, train, mixture.log_variances.double())
    assert float(mixture.negative_log_likelihood(test.float()).mean()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("batch", [10_000, 16])
def test_the_fit_equals_one_by_autograd(clouds, monkeypatch, batch: int) -> None:
    monkeypatch.setattr(feature_likelihood, "BATCH", batch)
    monkeypatch.setattr(feature_likelihood, "ROWS", 7)
    train, test, samples = clouds
    mixture = Mixture(samples.float())
    mixture.fit(train.float())
    variances = fitted(samples, train, batch)
    torch.testing.assert_close(mixture.log_variances.double(), variances, rtol=1e-3, atol=1e-3)
    own = float(mixture.negative_log_likelihood(test.float()).mean())
    assert own == pytest.approx(nll(test, samples, variances), rel=1e-4)


def test_the_score_equals_its_definition(clouds) -> None:
    train, test, samples = ([*one] for one in clouds)
    constant = torch.ones(1, dtype=torch.float64)
    train, test, samples = (torch.stack([torch.cat([row, constant]) for row in one]) for one in (train, test, samples))
    metric = FeatureLikelihood(seed=3)
    real = Sample(pool=train[:25].float(), train_pool=train.float(), held_out=Sample(pool=test.float()))
    (figure,) = metric.figures(Sample(pool=samples.float()), metric.reference(real), RandomFeatures())
    mean, std = test[:, :3].mean(0), test[:, :3].std(0)
    train, test, samples = ((one[:, :3] - mean) / std for one in (train, test, samples))
    shuffled = train[permutation(40, 3, "fld")]
    baseline = nll(test, shuffled[:20], fitted(shuffled[:20], shuffled[20:]))
    variances = fitted(samples, train)
    assert figure.value == pytest.approx(100 * (nll(test, samples, variances) - baseline), abs=0.05)
    gap = 100 * (nll(train, samples, variances) - nll(test, samples, variances))
    assert figure.beside["generalization_gap"] == pytest.approx(gap, abs=0.05)


def test_copies_and_noise_are_worse_than_new_images(digits, tmp_path) -> None:
    extractor = RandomFeatures()
    train, held_out = (digits.splits[split][0] for split in ("train", "held_out"))
    # A part of the held-out images are the generator's, and the others are tested on.
    split = type(digits)({"train": (train, None), "held_out": (held_out[:180], None)})
    reference = RealStatistics.compute(split, extractor, tmp_path, n=180, metrics=("fld",))
    evaluator = Evaluator(extractor, reference, ("fld",), n=180)
    noise = torch.randint(0, 256, (180, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    new, copies, random = (evaluator.score([images], **AT)[0] for images in (held_out[180:], train[:180], noise))
    assert abs(new.value) < 5
    assert copies.value > new.value + 20
    assert random.value > new.value + 20
    assert [card.note is None for card in (new, copies, random)] == [True, False, True]
    assert copies.beside["generalization_gap"] < new.beside["generalization_gap"] - 10
    assert (new.metric, new.n, new.real) == ("fld_random", 180, None)


def test_held_out_images_are_needed(digits, grid, tmp_path) -> None:
    alone = type(digits)({"train": digits.splits["train"], "held_out": (digits.splits["train"][0][:0], None)})
    with pytest.raises(UserError, match="fld needs held-out images"):
        RealStatistics.compute(alone, grid, tmp_path, n=100, metrics=("fld",))
