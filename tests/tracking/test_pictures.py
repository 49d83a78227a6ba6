from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from saddlepoint.tracking.pictures import GRID_SIDE, codes, grid, scatter, to_picture


def images(n: int, channels: int, height: int, width: int) -> Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, channels, height, width), dtype=torch.uint8, generator=random)


def on_white(image: np.ndarray) -> np.ndarray:
    """Composite an image [4, H, W] on white in exact arithmetic."""
    alpha = image[3:] / 255
    return np.floor(alpha * image[:3] + (1 - alpha) * 255 + 0.5)


def shown(image: np.ndarray) -> np.ndarray:
    """Return the array, [H, W] or [H, W, 3], that a grid shows for an image [C, H, W]."""
    if image.shape[0] == 4:
        image = on_white(image)
    if image.shape[0] == 2:
        image = np.floor(image.astype(float).mean(axis=0, keepdims=True))
    return image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("n", "columns", "across", "down"), [(5, None, 3, 2), (5, 2, 2, 3), (1, None, 1, 1), (4, 4, 4, 1)]
)
def test_every_image_of_a_grid_is_in_its_place(
    channels: int, n: int, columns: int | None, across: int, down: int
) -> None:
    height, width, gap = 5, 7, 1
    some = images(n, channels, height, width)
    picture = grid(some, columns)
    size = across * (width + gap) + gap, down * (height + gap) + gap
    scale = max(1, GRID_SIDE // size[0])
    assert picture.size == (size[0] * scale, size[1] * scale)
    assert picture.mode == ("L" if channels <= 2 else "RGB")
    pixels = np.asarray(picture)
    blocks = pixels.reshape(size[1], scale, size[0], scale, *pixels.shape[2:])
    assert (blocks == blocks[:, :1, :, :1]).all()  # enlarged without smoothing
    small = blocks[:, 0, :, 0]
    covered = np.zeros(small.shape[:2], dtype=bool)
    for i in range(n):
        top, left = gap + i // across * (height + gap), gap + i % across * (width + gap)
        place = np.s_[top : top + height, left : left + width]
        assert (small[place] == shown(some[i].numpy())).all(), f"image {i}"
        covered[place] = True
    assert (small[~covered] == 128).all()


def test_large_images_are_not_enlarged() -> None:
    picture = grid(images(9, 3, 256, 256))
    assert picture.size == (3 * 258 + 2, 3 * 258 + 2)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "L"), (3, "RGB"), (4, "RGBA")])
def test_a_single_picture_keeps_every_value(channels: int, mode: str) -> None:
    image = images(1, channels, 4, 6)[0]
    picture = to_picture(image)
    assert picture.mode == mode
    assert picture.size == (6, 4)
    expected = shown(image.numpy()) if channels == 2 else image.permute(1, 2, 0).squeeze(-1).numpy()
    assert (np.asarray(picture) == expected).all()


def reddish(picture: Image.Image) -> np.ndarray:
    r, g, b = (np.asarray(picture)[..., i].astype(int) for i in range(3))
    return (r - g > 60) & (r - b > 60)


def test_a_scatter_shows_generated_points_where_they_are() -> None:
    """Two clusters, left and right of the centre, with nothing in between."""
    real = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]])
    left = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)) * 0.02 - torch.tensor([1.0, 0.0])
    one = reddish(scatter(left, real, "title")).nonzero()
    other = reddish(scatter(-left, real, "title")).nonzero()
    assert np.median(one[1]) < np.median(other[1]) - 200
    assert abs(np.median(one[0]) - np.median(other[0])) < 30


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("points", [torch.zeros(1, 2), torch.zeros(1, 1), torch.randn(50, 2), torch.randn(50, 1)])
def test_without_real_points_only_generated_ones_are_shown(points: torch.Tensor) -> None:
    red, green, blue = np.asarray(scatter(points, None, "samples")).reshape(-1, 3).astype(int).T
    assert ((red - green > 60) & (red - blue > 60)).any()
    gray = (red == green) & (green == blue) & (abs(red - 191) < 3)  # the colour of real points, and edges of letters
    assert gray.sum() < 300


def test_points_in_one_dimension_are_histograms() -> None:
    real = torch.linspace(-3, 3, 500)[:, None]
    picture = scatter(torch.zeros(100, 1), real, "title")
    assert picture.mode == "RGB"
    assert reddish(picture).any()


def test_codes_have_the_colours_of_their_classes() -> None:
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 2
    points, prior = torch.randn(200, 2, generator=random), torch.randn(500, 2, generator=random)
    blue, orange, gray = (31, 119, 180), (255, 127, 14), (204, 204, 204)
    for given, expected in ((labels, {blue, orange, gray}), (None, {blue, gray})):
        picture = codes(points, given, prior, "title")
        assert picture.size == (600, 600)
        found = {colour for count, colour in picture.getcolors(1 << 20) if count > 100}
        assert expected <= found
        assert (orange in found) == (given is not None)
