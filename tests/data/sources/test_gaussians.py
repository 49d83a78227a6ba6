"""Mixtures of Gaussians against closed forms."""

import math

import numpy as np
import pytest
from scipy import stats

from saddlepoint.data import DataModule, Gaussians
from saddlepoint.errors import UserError

LAYOUTS = ("line", "ring", "grid")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("split", ["train", "held_out"])
def test_moments_match_the_closed_form(layout, split):
    source = Gaussians(layout)
    points = DataModule(source).arrays(split).samples.double().numpy()
    means, n = source.means.double().numpy(), len(points)
    # E x = mean of the means; Cov x = σ² I + Cov(means)
    covariance = source.std**2 * np.eye(means.shape[1]) + np.cov(means.T, bias=True).reshape(means.shape[1], -1)
    assert np.all(np.abs(points.mean(0) - means.mean(0)) < 5 * np.sqrt(np.diag(covariance) / n))
    scale = np.abs(means).max() ** 2
    assert np.allclose(np.cov(points.T), covariance, atol=5 * scale / math.sqrt(n))


def test_another_deviation_scales_the_same_noise():
    source, wide = Gaussians("line"), Gaussians("line", std=0.5)
    points, modes = DataModule(source).arrays("train")
    others, same = DataModule(wide).arrays("train")
    assert (same == modes).all()
    assert np.allclose(others - wide.means[modes], 2 * (points - source.means[modes]), atol=1e-5)
    assert (source.name, wide.name, wide.std) == ("gaussians_line", "gaussians_line_0.5", 0.5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_residuals_are_normal_about_the_labelled_mode(layout):
    source = Gaussians(layout)
    points, modes = DataModule(source).arrays("train")
    residuals = ((points - source.means[modes]) / source.std).double().numpy()
    assert stats.kstest(residuals.ravel(), "norm").pvalue > 1e-3
    counts = np.bincount(modes.numpy(), minlength=len(source.means))
    assert stats.chisquare(counts).pvalue > 1e-3


def test_layouts_are_those_of_pacgan():
    ring, grid, line = (Gaussians(layout) for layout in ("ring", "grid", "line"))
    assert ring.means.shape == (8, 2)
    assert np.allclose(ring.means.norm(dim=1), 1)
    assert ring.std == 0.01
    assert grid.means.shape == (25, 2)
    assert {tuple(mean) for mean in grid.means.tolist()} == {(x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)}
    assert grid.std == 0.05
    assert line.means.shape == (5, 1)


def test_high_quality_ceiling_in_two_dimensions():
    # within 3σ of its mode: 1 - exp(-9/2) = 98.9 %
    source = Gaussians("grid")
    points, modes = DataModule(source).arrays("train")
    share = ((points - source.means[modes]).norm(dim=1) < 3 * source.std).double().mean()
    assert abs(share - (1 - math.exp(-4.5))) < 5 * math.sqrt(0.011 * 0.989 / len(points))


def test_points_are_fixed_and_unlabelled_and_not_images():
    data, again, other = DataModule(Gaussians()), DataModule(Gaussians()), DataModule(Gaussians(seed=1))
    assert data.info == again.info
    assert data.info.fingerprint != other.info.fingerprint
    assert data.info.shape == (2,)
    assert data.info.sizes == {"train": 100_000, "held_out": 10_000}
    assert data.info.num_classes == 0
    data.configure(batch_size=8, seed=0)
    batch = next(iter(data.train_dataloader()))
    assert batch.points.shape == (8, 2)
    assert batch.labels is None
    with pytest.raises(UserError, match="is a data set of points, not of images"):
        next(data.uint8_batches("train"))
