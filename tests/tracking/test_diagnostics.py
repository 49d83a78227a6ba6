"""Contents of the diagnostic plots."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from saddlepoint.metrics import support
from saddlepoint.tracking import diagnostics


def red(picture: Image.Image) -> np.ndarray:
    r, g, b = (np.asarray(picture)[..., i].astype(int) for i in range(3))
    return (r - g > 100) & (r - b > 100)


def cyan(picture: Image.Image) -> np.ndarray:
    r, g, b = (np.asarray(picture)[..., i].astype(int) for i in range(3))
    return (g - r > 100) & (b - r > 100)


def test_near_copies_alone_are_framed_in_red() -> None:
    grey = torch.full((7, 2, 1, 8, 8), 90, dtype=torch.uint8)
    distances = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    none, some, every = (red(diagnostics.closest_pairs(grey, None, distances, r, "")).sum() for r in (-1, 2.5, 9))
    assert none == 0
    assert 0 < some < every
    assert some / every == pytest.approx(3 / 7, abs=0.1)


def test_training_images_stand_below_their_samples() -> None:
    black = torch.zeros(5, 2, 3, 8, 8, dtype=torch.uint8)
    blue = torch.tensor([0, 255, 255], dtype=torch.uint8).view(3, 1, 1).expand_as(black)
    alone = diagnostics.closest_pairs(black, None, [1.0] * 5, 0.5, "")
    assert not cyan(alone).any()
    above = diagnostics.closest_pairs(black, blue, [1.0] * 5, 0.5, "")
    dark = (np.asarray(above) == 0).all(2)
    assert np.median(dark.nonzero()[0]) < np.median(cyan(above).nonzero()[0])
    assert dark.sum() == pytest.approx(cyan(above).sum(), rel=0.1)


def test_transparent_pixels_are_white() -> None:
    images = torch.tensor([200, 0, 0, 0], dtype=torch.uint8).view(4, 1, 1).expand(1, 2, 4, 8, 8)
    opaque = torch.full((1, 2, 3, 8, 8), 255, dtype=torch.uint8)
    pictures = [np.asarray(diagnostics.closest_pairs(one, one, [1.0], 0.5, "")) for one in (images, opaque)]
    np.testing.assert_array_equal(*pictures)


def test_the_curve_is_drawn_where_it_lies() -> None:
    """For 100 images, P(duplicate) reaches 1/2 at s = 12, which is in the left third of an axis from 2 to 1000."""
    drawn = torch.randint(100, (1000,), generator=torch.Generator().manual_seed(0))
    same = drawn[:, None] == drawn
    found = support.estimate(same.sum(1) - 1)
    first = support.first_collisions(same.triu(1).nonzero(), 1000, seed=0)
    none = support.estimate(torch.zeros(1000, dtype=torch.long))
    never = torch.full_like(first, torch.inf)
    picture = diagnostics.duplicate_curve(first, never, found, none, "title")
    rows, columns = red(picture).nonzero()
    plot = rows < 0.8 * picture.height  # above the legend
    line = np.bincount(columns[plot]).argmax()  # the vertical line at s(1/2)
    share = (line / picture.width - 0.09) / 0.9
    assert share == pytest.approx(np.log(12 / 2) / np.log(1000 / 2), abs=0.06)
    clean = diagnostics.duplicate_curve(never, never, none, none, "title")
    rows, _ = red(clean).nonzero()
    assert np.bincount(red(clean)[: int(0.8 * picture.height)].nonzero()[1]).max() < 20  # no vertical line


def test_bars_are_as_high_as_their_counts() -> None:
    counts, real = torch.tensor([100, 50, 0, 25]), torch.tensor([1, 1, 1, 1])
    columns = red(diagnostics.class_histogram(counts, real, "title")).sum(0)
    heights = [int(columns[int(c)]) for c in np.linspace(0.2, 0.87, 4) * len(columns)]
    assert heights[0] > 150
    assert heights[1] / heights[0] == pytest.approx(0.5, abs=0.06)
    assert heights[2] == 0
    assert heights[3] / heights[0] == pytest.approx(0.25, abs=0.06)


def test_a_thousand_classes_become_a_histogram_and_nothing_stays_open() -> None:
    counts = torch.bincount(torch.randint(900, (5000,), generator=torch.Generator().manual_seed(0)), minlength=1000)
    assert red(diagnostics.class_histogram(counts, None, "title")).any()
    assert plt.get_fignums() == []


@pytest.mark.filterwarnings("error", "ignore::DeprecationWarning")
@pytest.mark.parametrize("copies", [0, 1])
def test_the_curve_of_two_samples_has_an_axis(copies: int) -> None:
    found = support.estimate(torch.full((2,), copies))
    first = torch.full((support.ORDERS,), 2.0 if copies else torch.inf)
    picture = diagnostics.duplicate_curve(first, first, found, found, "title")
    assert red(picture).any()
