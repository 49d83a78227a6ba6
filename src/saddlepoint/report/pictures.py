"""Pictures for the page: re-encoded as small WebP files, which the page contains as data URLs."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from saddlepoint.report.runs import Picture, Run

WIDEST = 480
"""Width in pixels to which larger pictures are reduced, in reports of few pictures."""
WIDEST_OF_MANY, MANY = 256, 500
"""The same in reports of more than this number of pictures; in the page, they are about 200 pixels wide."""
SMALL = 160
"""Pictures of at most this width are stored without loss, since they are shown enlarged."""
QUALITY = 60
MOST_MOMENTS = 12
MOST_PICTURES = 1_200
"""Pictures of one kind in a report; with more than 100 runs, fewer moments of each are shown."""


def shown(runs: Sequence[Run]) -> list[dict[str, list[Picture]]]:
    """Return the pictures of each run that the page shows, by kind: evenly spread over training, with the last."""
    moments = max(2, min(MOST_MOMENTS, MOST_PICTURES // max(1, len(runs))))
    return [{kind: spread(pictures, moments) for kind, pictures in _by_kind(run).items()} for run in runs]


def _by_kind(run: Run) -> dict[str, list[Picture]]:
    kinds: dict[str, list[Picture]] = {}
    for picture in run.pictures:
        kinds.setdefault(picture.kind, []).append(picture)
    return kinds


def spread(pictures: Sequence[Picture], most: int) -> list[Picture]:
    """Return at most ``most`` pictures, evenly spread, with the first and the last."""
    if len(pictures) <= most:
        return list(pictures)
    return [pictures[round(i * (len(pictures) - 1) / (most - 1))] for i in range(most)]


def encode_all(pictures: Sequence[Picture]) -> tuple[dict[Picture, str], list[str]]:
    """Encode pictures as data URLs, in several threads.

    Returns:
        The URLs, and a line for each picture that cannot be read.
    """
    with ThreadPoolExecutor() as threads:
        widest = WIDEST if len(pictures) <= MANY else WIDEST_OF_MANY
        results = list(threads.map(lambda picture: _encoded(picture, widest), pictures))
    found = {picture: url for picture, url in zip(pictures, results, strict=True) if not isinstance(url, Exception)}
    problems = [
        f"{picture.path} is left out: {error}"
        for picture, error in zip(pictures, results, strict=True)
        if isinstance(error, Exception)
    ]
    return found, problems


def _encoded(picture: Picture, widest: int) -> str | Exception:
    try:
        return encode(picture.path.read_bytes(), widest)
    except (
        OSError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombError,
    ) as error:  # what Pillow raises for bad files
        return error


def encode(png: bytes, widest: int) -> str:
    """Return a PNG file as the data URL of a WebP file that is at most ``widest`` pixels wide."""
    with Image.open(io.BytesIO(png), formats=["PNG"]) as opened:
        # Gray grids are three times smaller. Without need, a conversion would copy the picture.
        image = natural(opened if opened.mode in ("L", "RGB") else opened.convert("RGB"))
    if image.width > widest:
        image = image.resize((widest, max(1, image.height * widest // image.width)), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=image.width <= SMALL, quality=QUALITY, method=1)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def natural(image: Image.Image) -> Image.Image:
    """Undo the enlargement of a grid of small images by an integer factor, without smoothing."""
    for factor in range(min(16, image.width, image.height), 1, -1):
        if image.width % factor or image.height % factor:
            continue
        small = image.resize((image.width // factor, image.height // factor), Image.Resampling.NEAREST)
        if small.resize(image.size, Image.Resampling.NEAREST).tobytes() == image.tobytes():
            return small
    return image
