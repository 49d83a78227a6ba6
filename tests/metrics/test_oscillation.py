"""Oscillations are detected, and noise is not significant."""

from __future__ import annotations

import numpy as np
import pytest

from saddlepoint.metrics.oscillation import oscillation


def test_a_sine_in_noise_has_its_period_and_amplitude() -> None:
    x = np.arange(400) * 50.0
    values = 3 + x * 1e-4 + 0.5 * np.sin(2 * np.pi * x / 2000) + np.random.default_rng(0).normal(0, 0.3, 400)
    found = oscillation(values, x)
    assert found is not None
    assert found.period == pytest.approx(2000, rel=0.01)
    assert found.swing == pytest.approx(0.5, abs=0.06)
    assert found.share == pytest.approx(0.125 / (0.125 + 0.09), abs=0.1)
    assert found.p_value < 1e-6


@pytest.mark.parametrize("n", [50, 301])
def test_white_noise_is_significant_as_often_as_it_should_be(n: int) -> None:
    random, x = np.random.default_rng(1), np.arange(n, dtype=float)
    p = np.array([found.p_value for _ in range(1000) if (found := oscillation(random.normal(size=n), x))])
    for level in (0.05, 0.5):
        assert (p < level).mean() == pytest.approx(level, abs=4 * (level * (1 - level) / 1000) ** 0.5)


def test_short_or_constant_series_have_no_result() -> None:
    assert oscillation(np.arange(10.0), np.arange(10.0)) is None
    assert oscillation(np.full(100, 2.5), np.arange(100.0)) is None
    assert oscillation(np.arange(100.0), np.arange(100.0)) is None  # a trend is not an oscillation
