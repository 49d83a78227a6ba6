"""The Laplacian pyramid against its definition."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from saddlepoint.networks.layers.laplacian import down, gaussian_pyramid, sizes, up

SIZES = [(8, 8), (10, 10), (12, 12), (14, 14), (28, 28), (32, 32), (28, 12), (10, 32), (9, 7)]


def images(size: tuple[int, int]) -> Tensor:
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def decompose(images: Tensor, levels: int) -> list[Tensor]:
    """Return the bands h_0 … h_{levels - 1} of images [N, C, H, W]; the last one is the coarsest image."""
    *finer, coarsest = gaussian_pyramid(images, levels)
    coarser = [*finer[1:], coarsest]
    return [*(one - up(next_, one.shape[2:]) for one, next_ in zip(finer, coarser, strict=False)), coarsest]


def reconstruct(bands: Sequence[Tensor]) -> Tensor:
    """Return the images [N, C, H, W] of the bands h_0 … h_K."""
    *finer, images = bands
    for band in reversed(finer):
        images = band + up(images, band.shape[2:])
    return images


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("size", SIZES)
def test_an_image_is_reconstructed_to_rounding(size: tuple[int, int], levels: int) -> None:
    x = images(size)
    bands = decompose(x, levels)
    assert [tuple(band.shape[2:]) for band in bands] == sizes(*size, levels)
    torch.testing.assert_close(reconstruct(bands), x, rtol=0, atol=2e-7)  # 1 ulp of values in [-2, 2]
    torch.testing.assert_close(bands[-1], gaussian_pyramid(x, levels)[-1], rtol=0, atol=0)
    assert levels == 1 or bands[0].abs().max() > 0.1


@pytest.mark.parametrize("size", [(8, 8), (10, 14), (28, 32)])
def test_down_is_the_mean_over_blocks_of_two_by_two_pixels(size: tuple[int, int]) -> None:
    x = images(size)
    corners = [x[:, :, row::2, column::2] for row in (0, 1) for column in (0, 1)]
    torch.testing.assert_close(down(x), torch.stack(corners).mean(0))


def test_up_interpolates_linearly_between_the_centres_of_pixels() -> None:
    """Against NumPy's interpolation along each side."""
    x = torch.rand(5, 3, dtype=torch.float64)
    at = [(np.arange(2 * n) + 0.5) / 2 - 0.5 for n in x.shape]  # np.interp is constant beyond the outermost centres
    rows = np.stack([np.interp(at[0], np.arange(5), column) for column in x.numpy().T], 1)
    both = np.stack([np.interp(at[1], np.arange(3), row) for row in rows])
    np.testing.assert_allclose(up(x[None, None], (10, 6))[0, 0].numpy(), both, rtol=1e-12)


def test_constant_images_have_no_bands() -> None:
    bands = decompose(torch.full((1, 1, 14, 10), 0.25), 3)
    assert all(band.abs().max() < 1e-7 for band in bands[:-1])
    torch.testing.assert_close(bands[-1], torch.full((1, 1, 4, 3), 0.25))
