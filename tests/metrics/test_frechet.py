"""The Fréchet distance against closed forms and SciPy's general matrix root."""

import numpy as np
import pytest
import scipy.linalg
import torch

from saddlepoint.metrics.frechet import Gaussian, frechet_distance, real_root
from saddlepoint.metrics.moments import Moments


def draw(n: int, dim: int, seed: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dim, dim, generator=random, dtype=torch.float64)
    return torch.randn(n, dim, generator=random, dtype=torch.float64) @ mixing + 3 * seed


def moments(rows: torch.Tensor) -> Moments:
    result = Moments(rows.shape[1])
    for part in rows.split(7):
        result.update(part)
    return result


def distance(real: Moments, fake: Moments) -> float:
    return frechet_distance(Gaussian(real.mean, real_root(real.covariance)), fake.mean, fake.covariance)


def test_streamed_moments_equal_numpys() -> None:
    rows = draw(101, 5, 1) + 1e4
    streamed = moments(rows)
    assert streamed.n == 101
    np.testing.assert_allclose(streamed.mean, rows.numpy().mean(0), rtol=1e-14)
    np.testing.assert_allclose(streamed.covariance, np.cov(rows.numpy(), rowvar=False), rtol=1e-10)


def test_merged_streams_equal_one() -> None:
    rows = draw(60, 4, 1)
    merged = moments(rows[:13])
    merged.merge(Moments(4))
    merged.merge(moments(rows[13:]))
    torch.testing.assert_close(merged.covariance, moments(rows).covariance)
    torch.testing.assert_close(merged.mean, rows.mean(0))


def test_float32_rows_are_summed_in_float64() -> None:
    rows = (torch.randn(2000, 1, generator=torch.Generator().manual_seed(0)) * 1e-3 + 1e3).float()
    assert float(moments(rows).covariance) == pytest.approx(rows.double().var().item(), rel=1e-9)


def test_diagonal_gaussians_have_a_closed_form() -> None:
    mean = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    a, b = torch.tensor([4.0, 1.0, 0.0]).double(), torch.tensor([9.0, 1.0, 2.0]).double()
    expected = float(mean.square().sum() + (a.sqrt() - b.sqrt()).square().sum())
    real = Gaussian(torch.zeros(3, dtype=torch.float64), real_root(a.diag()))
    assert frechet_distance(real, mean, b.diag()) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n_real", "n_fake"), [(500, 400), (500, 20), (20, 500), (25, 30)])
def test_equals_scipys_root_of_the_product(n_real: int, n_fake: int) -> None:
    """With fewer samples than the 40 features, covariances are singular, as is usual in short evaluations."""
    real, fake = moments(draw(n_real, 40, 1)), moments(draw(n_fake, 40, 2))
    root = np.real(scipy.linalg.sqrtm(real.covariance.numpy() @ fake.covariance.numpy()))
    difference = (real.mean - fake.mean).numpy()
    traces = float(real.covariance.trace() + fake.covariance.trace())
    expected = difference @ difference + traces - 2 * np.trace(root)
    assert distance(real, fake) == pytest.approx(expected, rel=1e-6)


def test_rank_deficient_equals_the_nuclear_norm_of_the_samples() -> None:
    """With few samples, tr (Σ₁Σ₂)^½ is the nuclear norm of the centred samples' product, which needs no matrix root."""
    x, y = draw(12, 60, 1), draw(9, 60, 2)
    centred_x, centred_y = (x - x.mean(0)) / 11**0.5, (y - y.mean(0)) / 8**0.5
    cross = torch.linalg.svdvals(centred_x @ centred_y.T).sum()
    traces = centred_x.square().sum() + centred_y.square().sum()
    expected = float((x.mean(0) - y.mean(0)).square().sum() + traces - 2 * cross)
    assert distance(moments(x), moments(y)) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("smallest", [1e-8, 1e-12, 1e-16, 0.0])
def test_nearly_singular_covariances(smallest: float) -> None:
    """Spectra over many orders of magnitude, as of pooled features; in a common basis there is a closed form."""
    spectrum = torch.cat([torch.logspace(0, -8, 29, dtype=torch.float64), torch.full((3,), smallest).double()])
    bases = [torch.linalg.qr(draw(32, 32, seed)).Q for seed in (1, 2)]
    first, second, other = (
        basis @ values.diag() @ basis.T
        for basis, values in ((bases[0], spectrum), (bases[1], 3 * spectrum), (bases[0], spectrum.flip(0)))
    )
    zero = torch.zeros(32, dtype=torch.float64)
    root = np.real(scipy.linalg.sqrtm(first.numpy() @ second.numpy()))
    expected = float(first.trace() + second.trace()) - 2 * float(np.trace(root))
    assert frechet_distance(Gaussian(zero, real_root(first)), zero, second) == pytest.approx(expected, rel=1e-6)
    expected = float((spectrum.sqrt() - spectrum.flip(0).sqrt()).square().sum())
    assert frechet_distance(Gaussian(zero, real_root(first)), zero, other) == pytest.approx(expected, rel=1e-6)


def test_distance_from_itself_is_zero() -> None:
    same = moments(draw(30, 40, 1))
    assert distance(same, same) == pytest.approx(0, abs=1e-4 * float(same.covariance.trace()) ** 0.5)


def test_one_sample_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        _ = moments(draw(1, 3, 1)).covariance
