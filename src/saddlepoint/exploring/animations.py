"""GIF and MP4 files of a sequence of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from PIL import Image
from torch import Tensor

from saddlepoint.errors import UserError
from saddlepoint.tracking import pictures
from saddlepoint.writing import whole

SIDE = 256
"""Approximate side in pixels to which smaller frames are enlarged, by an integer factor, without smoothing."""


def frame(image: Tensor) -> Image.Image:
    """Return an image, uint8 [C, H, W], as a picture; small ones are enlarged, and transparent ones are on white."""
    opaque = pictures.on_white(image.unsqueeze(0))[0] if len(image) == 4 else image
    picture = pictures.to_picture(opaque)
    factor = max(1, SIDE // max(picture.size))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def write_gif(path: Path, frames: Sequence[Image.Image], frames_per_second: float) -> None:
    """Write an animated GIF that repeats for ever."""
    with whole(path) as file:
        frames[0].save(
            file, "GIF", save_all=True, append_images=frames[1:], duration=round(1000 / frames_per_second), loop=0
        )


def write_mp4(path: Path, frames: Sequence[Image.Image], frames_per_second: float) -> None:
    """Write an MP4 file, H.264 with 4:2:0 chroma, which all browsers play.

    Odd widths and heights are padded by one pixel, since this chroma format needs even ones.
    """
    import av

    width, height = (side + side % 2 for side in frames[0].size)
    rate = Fraction(frames_per_second).limit_denominator(1000)
    with whole(path) as file, av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            padded = Image.new("RGB", (width, height))
            padded.paste(frame)
            container.mux(stream.encode(av.VideoFrame.from_image(padded)))
        container.mux(stream.encode())


def check_mp4() -> None:
    """Check that MP4 files can be written.

    Raises:
        UserError: PyAV is not installed.
    """
    try:
        import av  # noqa: F401
    except ImportError:
        raise UserError(
            "mp4 needs PyAV, which is not installed", "format", "pip install 'saddlepoint[explore]', or choose gif"
        ) from None
