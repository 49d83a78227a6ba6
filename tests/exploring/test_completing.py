"""The masks of mode=complete."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saddlepoint.errors import UserError
from saddlepoint.exploring.completing import hidden


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ("top", ["####", "....", "...."]),
        ("bottom", ["....", "####", "####"]),
        ("left", ["##..", "##..", "##.."]),
        ("right", ["..##", "..##", "..##"]),
        ("centre", ["....", ".##.", "...."]),
    ],
)
def test_named_masks(mask: str, expected: list[str]) -> None:
    rows = hidden(mask, 3, 4)
    assert ["".join("#" if pixel else "." for pixel in row) for row in rows.tolist()] == expected


@pytest.mark.parametrize("side", range(3, 20))
def test_halves_complement_each_other(side: int) -> None:
    assert bool((hidden("top", side, 5) ^ hidden("bottom", side, 5)).all())
    assert bool((hidden("left", 5, side) ^ hidden("right", 5, side)).all())
    assert 0 < hidden("centre", side, side).sum() < side * side


def test_a_mask_from_a_file_is_scaled_without_smoothing(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    pixels[:2, 2:] = 255
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    expected = np.zeros((8, 8), dtype=bool)
    expected[:4, 4:] = True
    assert (hidden(str(tmp_path / "mask.png"), 8, 8).numpy() == expected).all()


@pytest.mark.parametrize(
    ("value", "problem"), [(0, "hides no pixel"), (255, "hides all pixels"), (None, "is not an image")]
)
def test_masks_that_cannot_be_used(tmp_path: Path, value: int | None, problem: str) -> None:
    file = tmp_path / "mask.png"
    if value is None:
        file.write_text("no image")
    else:
        Image.new("L", (4, 4), value).save(file)
    with pytest.raises(UserError, match=problem) as caught:
        hidden(str(file), 8, 8)
    assert caught.value.key == "mask"


def test_a_mask_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        hidden("middle", 8, 8)
    with pytest.raises(UserError, match="is not a file"):
        hidden(str(tmp_path), 8, 8)


def test_a_mask_of_another_aspect_ratio(tmp_path: Path) -> None:
    pixels = np.zeros((8, 16), dtype=np.uint8)
    pixels[2:] = 255
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    with pytest.raises(UserError, match="has 8x16 px, another aspect ratio than the images' 8x8") as caught:
        hidden(str(tmp_path / "mask.png"), 8, 8)
    assert caught.value.key == "mask"
    assert (hidden(str(tmp_path / "mask.png"), 4, 8).numpy() == [[False] * 8, *[[True] * 8] * 3]).all()
