"""The transformations with a given probability, and cutout; test_ada.py tests the distributions of the others."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from saddlepoint.augment import ADA, RandomTransformations
from saddlepoint.schedules import Ramp


def augmented(part: ADA | RandomTransformations, images: Tensor) -> Tensor:
    result: Tensor = part(images, torch.Generator().manual_seed(0))
    return result


def test_the_images_are_those_of_ada_with_this_probability() -> None:
    images = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    sets = ("blit", "geometric", "color")
    fixed = augmented(RandomTransformations(0.4, sets), images)
    assert torch.equal(fixed, augmented(ADA(start=0.4, transformations=sets), images))
    assert not torch.equal(fixed, images)


def test_color_has_a_fraction_of_the_probability() -> None:
    image = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(1)).expand(4000, 3, 4, 4)
    result = augmented(RandomTransformations(0.6, ["color"], color_probability=0.5), image)
    same = int((result == image).flatten(1).all(1).sum())
    assert stats.binomtest(same, 4000, 0.7**4 * 0.85).pvalue > 0.01  # half of the luma flips are the identity


def test_cutout_is_a_rectangle_of_half_of_each_side_around_a_uniform_center() -> None:
    result = augmented(RandomTransformations(1.0, ["cutout"]), torch.ones(3000, 1, 16, 8))[:, 0].numpy() == 0
    rows, columns = result.any(2), result.any(1)
    np.testing.assert_array_equal(result, rows[:, :, None] & columns[:, None, :])
    for cut, side in ((rows, 16), (columns, 8)):
        edges = np.diff(cut.astype(int), axis=1)
        assert (np.abs(edges).sum(1) <= 2).all()  # an interval
        inside = ~cut[:, 0] & ~cut[:, -1]
        assert set(cut[inside].sum(1)) == {side // 2}
        # A pixel at distance d from the border is cut with the probability that a center lies within a quarter of it.
        positions = (np.arange(side) + 0.5) / side
        expected = np.minimum(positions + 0.25, 1) - np.maximum(positions - 0.25, 0)
        for position, probability in enumerate(expected):
            assert stats.binomtest(int(cut[:, position].sum()), 3000, probability).pvalue > 1e-3


def test_cutout_has_probability_p() -> None:
    result = augmented(RandomTransformations(0.3, ["cutout"]), torch.ones(3000, 1, 8, 8))
    cut = int((result == 0).flatten(1).any(1).sum())
    assert stats.binomtest(cut, 3000, 0.3).pvalue > 0.01


def test_a_ramp_begins_at_its_start() -> None:
    part = RandomTransformations(Ramp(0.0, 0.55, images=100))
    images = torch.randn(8, 1, 8, 8)
    assert torch.equal(augmented(part, images), images)
    assert part.ramps == {"probability": Ramp(0.0, 0.55, images=100)}
