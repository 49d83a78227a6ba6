from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from saddlepoint.exploring import animations

SHADES = (0, 80, 160, 240)


def frames(width: int, height: int, mode: str = "L") -> list[Image.Image]:
    return [Image.new(mode, (width, height), shade if mode == "L" else (shade, 0, 0)) for shade in SHADES]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_gif_holds_the_frames_and_their_duration(tmp_path: Path, mode: str) -> None:
    animations.write_gif(tmp_path / "x.gif", frames(8, 6, mode), 10)
    with Image.open(tmp_path / "x.gif") as animation:
        assert animation.n_frames == 4  # type: ignore[attr-defined]
        assert animation.info["duration"] == 100
        assert animation.info["loop"] == 0
        for index, shade in enumerate(SHADES):
            animation.seek(index)
            assert animation.convert("RGB").getpixel((3, 3)) == (shade, *(2 * (shade if mode == "L" else 0,)))


@pytest.mark.parametrize(("width", "height", "rate"), [(64, 48, 8), (33, 31, 0.5)])
def test_an_mp4_holds_the_frames_in_order(tmp_path: Path, width: int, height: int, rate: float) -> None:
    animations.write_mp4(tmp_path / "x.mp4", frames(width, height), rate)
    with av.open(tmp_path / "x.mp4") as animation:
        stream = animation.streams.video[0]
        assert (stream.codec_context.name, stream.average_rate) == ("h264", rate)
        found = [frame.to_ndarray(format="rgb24") for frame in animation.decode(stream)]
    assert found[0].shape == (height + height % 2, width + width % 2, 3)
    np.testing.assert_allclose([frame[: height - 2, : width - 2].mean() for frame in found], SHADES, atol=4)
    assert [path.name for path in tmp_path.iterdir()] == ["x.mp4"]


@pytest.mark.parametrize(("side", "enlarged"), [(8, 256), (100, 200), (300, 300)])
def test_small_frames_are_enlarged_by_an_integer(side: int, enlarged: int) -> None:
    image = torch.arange(side * side).reshape(1, side, side).to(torch.uint8)
    found = animations.frame(image)
    assert found.size == (enlarged, enlarged)
    factor = enlarged // side
    assert (np.asarray(found)[::factor, ::factor] == image[0].numpy()).all()
