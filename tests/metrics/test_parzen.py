"""Parzen-window log-likelihoods against SciPy's multivariate normal distributions."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from saddlepoint.metrics.base import Sample
from saddlepoint.metrics.parzen import BANDWIDTHS, ParzenLogLikelihood, log_densities


def pixels(n: int, seed: int, dim: int = 9) -> torch.Tensor:
    return torch.randint(0, 256, (n, dim), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_equals_a_mixture_of_normal_distributions() -> None:
    images, samples = pixels(7, 0), pixels(11, 1)
    found = log_densities(images, samples, [0.1, 0.5])
    for row, sigma in zip(found, (0.1, 0.5), strict=True):
        for value, x in zip(row, images.double() / 255, strict=True):
            parts = [multivariate_normal.logpdf(x, s, sigma**2) for s in (samples.double() / 255).numpy()]
            assert float(value) == pytest.approx(logsumexp(parts) - np.log(len(samples)), rel=1e-9)


def test_a_normal_distribution_has_its_entropy() -> None:
    """With many samples of N(½, s²), the density is N(½, s² + σ²), whose mean log density is known in closed form."""
    random = np.random.default_rng(0)
    s, dim = 0.2, 2

    def draw(n: int) -> torch.Tensor:
        return torch.from_numpy(np.clip(np.round(255 * random.normal(0.5, s, (n, dim))), 0, 255).astype(np.uint8))

    found = log_densities(draw(4000), draw(8000), [0.1])[0].mean()
    variance = s**2 + 0.1**2
    expected = -dim / 2 * np.log(2 * np.pi * variance) - dim / 2 * s**2 / variance
    assert float(found) == pytest.approx(expected, abs=0.05)


def test_the_width_is_chosen_on_a_tenth_and_the_score_is_of_the_rest() -> None:
    metric = ParzenLogLikelihood()
    real = Sample(pixels=pixels(40, 2), held_out=Sample(pixels=pixels(50, 3)))
    reference = metric.reference(real)
    samples = pixels(30, 4)
    (figure,) = metric.figures(Sample(pixels=samples), reference, None)  # type: ignore[arg-type]
    held_out = reference["held_out"]
    best = BANDWIDTHS[int(log_densities(held_out[::10], samples, BANDWIDTHS).mean(1).argmax())]
    rest = held_out[[i for i in range(50) if i % 10]]
    values = log_densities(rest, samples, [best])[0]
    assert figure.value == pytest.approx(float(values.mean()))
    assert figure.beside == pytest.approx({"sigma": best, "standard_error": float(values.std()) / 45**0.5})
    (of_real,) = metric.real_figures(real.held_out, reference, None)  # type: ignore[arg-type]
    (expected,) = metric.figures(Sample(pixels=real.pixels), reference, None)  # type: ignore[arg-type]
    assert of_real.value == expected.value
