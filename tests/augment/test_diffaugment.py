"""Distributions of DiffAugment's draws."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats

from saddlepoint.augment import DiffAugment
from saddlepoint.augment.diffaugment import color, cutout, translation


def random() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_distributions_of_brightness_saturation_and_contrast() -> None:
    # One pixel is above and one below a gray image's mean: the mean gives the brightness, the difference the contrast.
    images = torch.zeros(2000, 1, 2, 2, dtype=torch.float64)
    images[:, :, 0], images[:, :, 1] = 0.5, -0.5
    result = color(images, random()).numpy()
    assert stats.kstest(result.mean((1, 2, 3)), stats.uniform(-0.5, 1).cdf).pvalue > 0.01
    contrast = result[:, 0, 0, 0] - result[:, 0, 1, 0]
    assert stats.kstest(contrast, stats.uniform(0.5, 1).cdf).pvalue > 0.01
    # For an image of one color, differences between channels give saturation times contrast.
    images = torch.tensor([0.3, -0.3, 0.0], dtype=torch.float64)[None, :, None, None].expand(2000, 3, 2, 2)
    result = color(images, random()).numpy()
    both = (result[:, 0, 0, 0] - result[:, 1, 0, 0]) / 0.6
    assert stats.kstest(both / contrast, stats.uniform(0, 2).cdf).pvalue > 0.01
    rgba = torch.randn(4, 4, 3, 3)
    changed = color(rgba, random())
    assert torch.equal(changed[:, 3], rgba[:, 3])
    assert not torch.equal(changed[:, :3], rgba[:, :3])


def test_translation_is_up_to_an_eighth_with_zero_padding() -> None:
    images = torch.arange(1.0, 1 + 16 * 24).reshape(1, 1, 16, 24).expand(1500, 1, 16, 24)
    result, counts = translation(images, random()).numpy(), np.zeros((5, 7))
    padded = np.pad(images[0, 0].numpy(), ((2, 2), (3, 3)))
    for image in result[:, 0]:
        matches = [(y, x) for y in range(5) for x in range(7) if np.array_equal(image, padded[y : y + 16, x : x + 24])]
        assert len(matches) == 1
        counts[matches[0]] += 1
    assert stats.chisquare(counts.ravel()).pvalue > 0.01


def test_distances_are_rounded_half_up_as_in_the_published_code() -> None:
    """⌊side/8 + ½⌋; rounding half to even would give 2 at 20 px, 4 at 36 and 6 at 52."""
    for side, reach in ((12, 2), (20, 3), (28, 4), (36, 5), (44, 6), (52, 7)):
        ramp = torch.arange(1.0, 1 + side).expand(400, 1, side, side)
        center = translation(ramp, random())[:, 0, side // 2]  # a row; rows that the padding covers are zero
        shifts = {int(row.argmax()) - (side - 1) for row in center if row.max() == side}
        assert min(shifts) == -reach
    hidden = cutout(torch.ones(400, 1, 5, 5), random())[:, 0] == 0
    assert hidden.any(2).sum(1).max() == 3


def test_cutout_is_a_rectangle_of_half_of_each_side() -> None:
    result = cutout(torch.ones(2000, 2, 8, 10), random()).numpy()
    assert np.array_equal(result[:, 0], result[:, 1])
    hidden = result[:, 0] == 0
    heights, widths = hidden.any(2).sum(1), hidden.any(1).sum(1)
    assert np.array_equal(heights * widths, hidden.sum((1, 2)))
    # A window of 4 of 8 is centered on 0 … 8, with 2 or 3 rows at the borders; one of 5 of 10 is centered on 0 … 9.
    assert set(heights) == {2, 3, 4}
    np.testing.assert_allclose((heights == 4).mean(), 5 / 9, atol=0.04)
    np.testing.assert_allclose(widths.mean(), np.mean([3, 4, 5, 5, 5, 5, 5, 5, 4, 3]), atol=0.08)
    assert (hidden.mean(0) > 0.07).all()  # probability 0.1 in the corners


def test_the_order_of_the_policy() -> None:
    images = torch.randn(8, 3, 8, 8, generator=random())
    both = DiffAugment(["cutout", "color"])(images, random())
    draws = random()
    assert torch.equal(both, color(cutout(images, draws), draws))
    assert not torch.equal(both, DiffAugment(["color", "cutout"])(images, random()))
