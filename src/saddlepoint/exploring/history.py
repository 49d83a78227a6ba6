"""The pictures of a run's samples during training, as frames of an animation."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image, ImageDraw

from saddlepoint.assembly.restore import find
from saddlepoint.data.images import decode
from saddlepoint.errors import UserError

NAME = re.compile(r"samples(_\w+)?-(\d{9,})\.png")
CAPTION = 16
"""Height of the caption in pixels."""


def frames(checkpoint: str) -> list[Image.Image]:
    """Return the pictures that a run has drawn of its samples, each with the number of images seen below it.

    Of a run of translations in two directions, they are those of the first direction.

    Args:
        checkpoint: the run's folder, or one of its checkpoints.

    Raises:
        UserError: if the run has drawn none.
    """
    path = find(checkpoint)
    run = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    named = [(match, file) for file in run.glob("samples/*.png") if (match := NAME.fullmatch(file.name))]
    first = min((match[1] or "" for match, _ in named), default="")  # of the directions of translations
    found = {int(match[2]): file for match, file in named if (match[1] or "") == first}
    if not found:
        raise UserError(
            f"no pictures of samples in {run / 'samples'}",
            "checkpoint",
            "give the folder of a run that has some (callbacks.samples.every_images), or a checkpoint in that folder",
        )
    return [_captioned(found[images], f"{images:,} images") for images in sorted(found)]


def _captioned(file: Path, text: str) -> Image.Image:
    picture = decode(file.read_bytes(), str(file), 3)
    framed = Image.new("RGB", (picture.width, picture.height + CAPTION), "white")
    framed.paste(picture)
    ImageDraw.Draw(framed).text((4, picture.height + 2), text, fill="black")
    return framed
