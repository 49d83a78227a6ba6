"""The frames of ``mode=animate``."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from saddlepoint.errors import UserError
from saddlepoint.exploring import history


@pytest.mark.parametrize("names", [("samples",), ("samples_a_to_b", "samples_b_to_a")])
def test_frames_are_those_of_one_direction_in_order(tmp_path: Path, names: tuple[str, ...]) -> None:
    (tmp_path / "samples").mkdir()
    for shade, name in enumerate((*names, "reconstructions")):
        for images in (1000, 200):
            picture = Image.new("L", (8, 8), 100 * shade + images // 100)
            picture.save(tmp_path / "samples" / f"{name}-{images:09d}.png")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    frames = history.frames(str(tmp_path / "checkpoints" / "last.ckpt"))
    assert [frame.getpixel((0, 0)) for frame in frames] == [(2, 2, 2), (10, 10, 10)]


def test_a_checkpoint_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").touch()
    with pytest.raises(UserError, match=r"no pictures of samples in .*; give the folder of a run that has some"):
        history.frames(str(tmp_path / "last.ckpt"))
