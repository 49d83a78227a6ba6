"""Pad, crop and resize against array arithmetic, and on images with known results."""

import numpy as np
import pytest
from PIL import Image

from saddlepoint.data.fit import Fit
from saddlepoint.errors import UserError

RNG = np.random.default_rng(0)


def rgb(height, width):
    return RNG.integers(256, size=(height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("height", "width", "top", "left"), [(28, 28, 2, 2), (27, 30, 2, 1), (32, 1, 0, 15)])
def test_pad_centres_on_zero(height, width, top, left):
    image = rgb(height, width)
    got = Fit(32, 32, 3, "pad").image(Image.fromarray(image), "x")
    expected = np.zeros((32, 32, 3), dtype=np.uint8)
    expected[top : top + height, left : left + width] = image
    assert np.array_equal(got, expected)


def test_pad_never_shrinks():
    with pytest.raises(UserError, match=r"^fit: a/b\.png: 33x20 does not fit into 32x32 by padding; set crop"):
        Fit(32, 32, 3, "pad").image(Image.fromarray(rgb(33, 20)), "a/b.png")


def test_crop_takes_the_centre_of_a_size_that_needs_no_resize():
    image = rgb(16, 40)
    assert np.array_equal(Fit(16, 16, 3, "crop").image(Image.fromarray(image), "x"), image[:, 12:28])


@pytest.mark.parametrize(("height", "width"), [(7, 50), (50, 7), (64, 64), (5, 5), (33, 31), (1, 1), (1000, 3)])
@pytest.mark.parametrize("policy", ["crop", "resize"])
@pytest.mark.parametrize("size", [(16, 16), (8, 24)])
def test_any_size_becomes_the_target_size(height, width, policy, size):
    assert Fit(*size, 3, policy).image(Image.fromarray(rgb(height, width)), "x").shape == (*size, 3)


def test_crop_keeps_proportions_where_resize_stretches():
    disc = np.hypot(*np.mgrid[-50:50, -100:100]) < 40  # a circle in a 100x200 frame
    image = Image.fromarray(np.where(disc, 255, 0).astype(np.uint8))
    cropped = Fit(50, 50, 1, "crop").image(image, "x")[..., 0] > 127
    stretched = Fit(50, 50, 1, "resize").image(image, "x")[..., 0] > 127
    assert abs(cropped.sum() - np.pi * 20**2) < 25
    assert abs(cropped.any(0).sum() - cropped.any(1).sum()) <= 1
    assert abs(stretched.sum() - np.pi * 20 * 10) < 15


def test_shrinking_is_antialiased():
    # a checkerboard of single pixels averages to gray; without a filter it would stay black and white
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    got = Fit(8, 8, 1, "resize").image(Image.fromarray(board), "x")
    assert np.abs(got[1:-1, 1:-1].astype(int) - 127).max() <= 3


def test_transparent_colours_do_not_bleed_when_four_channels_shrink():
    image = np.zeros((8, 8, 4), dtype=np.uint8)
    image[:, :4] = [255, 0, 0, 255]
    image[:, 4:] = [0, 255, 0, 0]  # transparent green
    got = Fit(2, 2, 4, "resize").image(Image.fromarray(image), "x")
    assert got[got[..., 3] > 0][:, 1].max() == 0


@pytest.mark.parametrize("policy", ["pad", "crop", "resize"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("source_channels", [1, 3])
def test_stacks_fit_as_single_images_do(policy, channels, source_channels):
    stack = RNG.integers(256, size=(3, 10, 12, source_channels), dtype=np.uint8)
    fit = Fit(14, 16, channels, policy)
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    singles = [Image.fromarray(image.squeeze()).convert(mode) for image in stack]
    expected = np.stack([fit.image(image, "x") for image in singles])
    assert np.array_equal(fit.arrays(stack, "x"), expected)


@pytest.mark.parametrize(("height", "width"), [(1, 60_000), (60_000, 2)])
def test_crop_of_a_strip_is_not_resized_whole(height, width, monkeypatch):
    """Resized to cover 64x64, 1 x 60,000 pixels would become 64 x 3,840,000, nearly all of which is cropped."""
    seen = []
    resize = Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", lambda self, size, *a: seen.append(size) or resize(self, size, *a))
    strip = np.zeros((height, width), dtype=np.uint8)
    middle = (slice(None), slice(width // 2 - 1, width // 2 + 1)) if height == 1 else slice(29_998, 30_002)
    strip[middle] = 200
    got = Fit(64, 64, 1, "crop").image(Image.fromarray(strip), "x")
    assert got.shape == (64, 64, 1)
    assert max(seen[0]) < 2_000
    across = got[32, :, 0] if height == 1 else got[:, 32, 0]
    assert across[31] > 180  # the centre stays in the centre
    assert across[32] > 180


def test_crop_of_a_middle_is_crop_of_the_whole(monkeypatch):
    image, fit = Image.fromarray(rgb(20, 400)), Fit(40, 40, 3, "crop")
    whole = fit.image(image, "x")
    monkeypatch.setattr("saddlepoint.data.fit.MAX_PIXELS", 10_000)
    assert np.array_equal(fit.image(image, "x"), whole)
