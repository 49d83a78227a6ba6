"""Geometry and color maps against SciPy and NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor

from saddlepoint.augment import color, transformations
from saddlepoint.augment.geometry import reflect, shift_and_flip, warp


def samples(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_reflection_matches_numpy(size: int) -> None:
    padded = np.pad(np.arange(size), (9, 9), mode="reflect") if size > 1 else np.zeros(19, int)
    at = torch.arange(-9, size + 9)
    np.testing.assert_array_equal(reflect(at, size), padded)


@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 5, 9), (4, 8, 3)])
def test_warp_matches_scipy_map_coordinates(shape: tuple[int, ...]) -> None:
    images, maps = samples(5, *shape), samples(5, 2, 3, seed=1) * 2
    ours = warp(images, maps).numpy()
    height, width = shape[1:]
    y, x = np.mgrid[:height, :width].astype(float)
    centered = np.stack([x - (width - 1) / 2, y - (height - 1) / 2, np.ones_like(x)])
    for image, matrix, warped in zip(images.numpy(), maps.numpy(), ours, strict=True):
        across, down = np.einsum("ij,jhw->ihw", matrix, centered)
        at = [down + (height - 1) / 2, across + (width - 1) / 2]
        for channel, expected in zip(image, warped, strict=True):
            np.testing.assert_allclose(map_coordinates(channel, at, order=1, mode="mirror"), expected, atol=1e-9)


def test_flips_and_shifts_are_exact() -> None:
    images = samples(3, 2, 4, 7).float()
    flipped = shift_and_flip(images, torch.zeros(3).long(), torch.zeros(3).long(), torch.ones(3).bool())
    assert torch.equal(flipped, images.flip(3))
    moved = shift_and_flip(images, torch.tensor([1, 0, -2]), torch.tensor([0, 2, 0]), torch.zeros(3).bool())
    assert torch.equal(moved[0, :, 1:], images[0, :, :-1])
    assert torch.equal(moved[1, :, :, 2:], images[1, :, :, :-2])
    assert torch.equal(moved[2, :, :-2], images[2, :, 2:])
    ones, shift = torch.ones(3), torch.tensor([2.0, 0.0, -1.0])
    assert torch.equal(warp(images, transformations.scaling(-ones, ones)), images.flip(3))
    assert torch.equal(warp(images, transformations.translation(0 * ones, shift))[0, :, 2:], images[0, :, :-2])


def test_quarter_turns_match_numpy() -> None:
    images = samples(4, 2, 5, 5).float()
    turned = warp(images, transformations.quarter_turns(torch.arange(4.0)))
    for count, image, result in zip(range(4), images.numpy(), turned.numpy(), strict=True):
        np.testing.assert_array_equal(np.rot90(image, -count, axes=(1, 2)), result)  # clockwise


def test_directions_of_the_maps() -> None:
    dot = torch.zeros(1, 1, 9, 9)
    dot[0, 0, 4, 6] = 1.0  # 2 pixels right of the center

    def place(matrix: Tensor) -> list[int]:
        return (warp(dot, matrix)[0, 0] > 0.9).nonzero()[0].tolist()

    one = torch.ones(1)
    assert place(transformations.translation(one, 3 * one)) == [7, 7]
    assert place(transformations.rotation(one * math.pi / 2)) == [6, 4]  # clockwise
    assert place(transformations.scaling(2 * one, one)) == [4, 8]
    rotated_then_shifted = transformations.rotation(one * math.pi / 2) @ transformations.translation(2 * one, 0 * one)
    assert place(rotated_then_shifted) == [6, 6]


def test_colors() -> None:
    rgb = torch.tensor([0.8, -0.2, 0.3], dtype=torch.float64)[None, :, None, None]
    one = torch.ones(1, dtype=torch.float64)

    def changed(matrix: Tensor) -> np.ndarray:
        return color.recolor(rgb, matrix).flatten().numpy()

    x = rgb.flatten().numpy()
    np.testing.assert_allclose(changed(color.brightness(0.3 * one)), x + 0.3)
    np.testing.assert_allclose(changed(color.contrast(1.7 * one)), 1.7 * x)
    np.testing.assert_allclose(changed(color.luma_flip(one)), x - 2 * x.mean())
    np.testing.assert_allclose(changed(color.luma_flip(0 * one)), x)
    np.testing.assert_allclose(changed(color.saturation(0 * one)), np.full(3, x.mean()))
    np.testing.assert_allclose(changed(color.saturation(2.5 * one)), x.mean() + 2.5 * (x - x.mean()))
    np.testing.assert_allclose(changed(color.hue(one * 2 * math.pi / 3)), np.roll(x, 1))  # red becomes green
    np.testing.assert_allclose(changed(color.hue(one * 2 * math.pi)), x)
    angle = changed(color.hue(0.7 * one)) - x.mean()
    cosine = angle @ (x - x.mean()) / ((x - x.mean()) @ (x - x.mean()))
    np.testing.assert_allclose(cosine, math.cos(0.7))


def test_gray_is_three_equal_channels_and_a_fourth_channel_is_unchanged() -> None:
    matrix = color.hue(torch.tensor([0.4])) @ color.saturation(torch.tensor([0.3]))
    matrix = color.luma_flip(torch.ones(1)) @ color.contrast(torch.tensor([1.5])) @ matrix
    matrix = color.brightness(torch.tensor([0.2])) @ matrix
    gray = samples(1, 1, 3, 4).float()
    three = color.recolor(gray.expand(-1, 3, -1, -1), matrix)
    torch.testing.assert_close(color.recolor(gray, matrix).expand(-1, 3, -1, -1), three)
    rgba = samples(1, 4, 3, 4).float()
    recolored = color.recolor(rgba, matrix)
    assert torch.equal(recolored[:, 3], rgba[:, 3])
    torch.testing.assert_close(recolored[:, :3], color.recolor(rgba[:, :3], matrix))
