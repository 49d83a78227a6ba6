"""Crops, flips, binarisation and normalisation against naive loops, and random draws against their distributions."""

import numpy as np
import pytest
import torch
from scipy import stats

from saddlepoint.data.transforms import binarise, corners, crop, flips, mirror, normalise, thresholds


@pytest.fixture
def images():
    return torch.randint(256, (50, 6, 5, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_values_at_the_ends_and_between():
    values = normalise(torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1))
    assert values[0, 0, 0, 0] == -1
    assert values[0, 0, -1, -1] == 1
    expected = torch.arange(256, dtype=torch.float64).view(1, 1, 16, 16) / 127.5 - 1
    assert torch.allclose(values.double(), expected, atol=1e-7, rtol=0)
    # quantisation, as in evaluation, is the exact inverse
    assert torch.equal(((values + 1) * 127.5).round().to(torch.uint8).flatten(), torch.arange(256, dtype=torch.uint8))


def test_mirror_turns_the_chosen_rows_only(images):
    flip = torch.tensor([True, False] * 25)
    mirrored = mirror(images, flip)
    assert torch.equal(mirrored[1], images[1])
    assert torch.equal(mirrored[0], images[0][:, [4, 3, 2, 1, 0]])


def test_an_intensity_is_above_its_threshold_with_its_probability():
    intensities = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1)
    limits = thresholds(0, 0, 4000, (16, 16, 1))
    white = binarise(intensities.expand(4000, -1, -1, -1), limits)
    assert set(white.unique().tolist()) == {0, 255}
    expected = torch.arange(256, dtype=torch.float64).view(16, 16, 1) / 255
    error = (white.eq(255).double().mean(0) - expected).abs()
    assert (error <= 5 * (expected * (1 - expected) / 4000).sqrt()).all()  # exact for 0 and 255
    assert torch.equal(thresholds(0, 777, 100, (16, 16, 1)), limits[777:877])


def test_flips_are_fair_and_keyed_by_position():
    drawn = flips(0, 0, 10_000)
    assert abs(drawn.double().mean() - 0.5) < 5 * 0.5 / 100
    assert torch.equal(flips(0, 777, 100), drawn[777:877])
    assert not torch.equal(flips(1, 0, 100), drawn[:100])
    assert not torch.equal(flips(0, 0, 100, "flip b"), drawn[:100])


@pytest.mark.parametrize("jitter", [1, 3])
def test_crop_cuts_each_image_at_its_corner(images, jitter):
    at = corners(0, 0, 50, jitter)
    cut = crop(images, at, jitter)
    assert cut.is_contiguous()
    for image, (top, left), got in zip(images, at.tolist(), cut, strict=True):
        assert torch.equal(got, image[top : top + 6 - jitter, left : left + 5 - jitter])


def test_corners_are_uniform_and_keyed_by_position():
    drawn = corners(0, 0, 40_000, 3)
    counts = np.bincount((drawn @ torch.tensor([4, 1])).numpy(), minlength=16)
    assert len(counts) == 16
    assert stats.chisquare(counts).pvalue > 1e-3
    assert torch.equal(corners(0, 777, 100, 3), drawn[777:877])
    assert not torch.equal(corners(1, 0, 100, 3), drawn[:100])
    assert not torch.equal(corners(0, 0, 100, 3, "crop b"), drawn[:100])
