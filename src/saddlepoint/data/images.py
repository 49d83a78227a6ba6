"""Safe decoding of image files to pixels, uint8 [H, W, C].

Gray images have one channel, palettes and CMYK are converted to RGB, and 16 bits are scaled to 8 (65535 → 255). The
EXIF orientation is applied. Alpha is composited on white unless four channels are requested. Of a file with several
pages or frames, the first is used.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from saddlepoint.errors import UserError

Pixels = NDArray[np.uint8]
Channels = Literal[1, 3, 4]

FORMATS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2", ".j2k", ".jpf", ".jpx"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}
"""Pillow's name and the suffixes of each format that is read."""
HEIC = (".heic", ".heif")
NAMES = "PNG, JPEG, WebP, BMP, TIFF, GIF, AVIF, JPEG 2000 or PPM"

with contextlib.suppress(ImportError):  # an extra
    import pillow_heif

    pillow_heif.register_heif_opener()
    FORMATS["HEIF"] = HEIC

SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
MAX_PIXELS = 89_478_485  # Pillow's limit, a quarter of a gigabyte of RGB, above which it warns of a decompression bomb

ORIENTATION = 0x0112  # the EXIF tag; values 5 to 8 exchange height and width
MODES = {1: "L", 3: "RGB", 4: "RGBA"}

# Makes Pillow's warning of a decompression bomb an error. Other code may reset the process's filters, so `_opened`
# also checks the size.
warnings.simplefilter("error", Image.DecompressionBombWarning)

# These warnings concern damaged EXIF data and further frames in files whose image can be decoded.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.(Tiff|Jpeg|Png)ImagePlugin")


class Header(NamedTuple):
    """The header of an image file.

    Attributes:
        height: at which the image is displayed, in pixels.
        width: at which the image is displayed, in pixels.
        channels: without alpha, 1 for gray or 3 for colour.
        several: whether there are further pages or frames.
    """

    height: int
    width: int
    channels: Literal[1, 3]
    several: bool = False


@contextmanager
def _opened(raw: bytes, where: str) -> Iterator[Image.Image]:
    """Open an image; exceptions of decoders are converted to UserErrors that name the file."""
    try:
        with Image.open(io.BytesIO(raw), formats=list(FORMATS)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except UserError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        problem = f"{where}: more than {MAX_PIXELS:,} pixels"
        raise UserError(problem, None, "shrink or remove the file") from None
    except Exception as error:  # for corrupt files, decoders raise OSError, SyntaxError, ValueError, struct.error …
        reason = f"not a {NAMES}" if isinstance(error, UnidentifiedImageError) else str(error)
        raise UserError(f"{where}: corrupt image ({reason})", None, "replace or remove the file") from None


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation in the header, without decoding the image as ``getexif`` of a PNG would.

    It is 1 for a TIFF, whose orientation Pillow applies itself, and for images with damaged EXIF data.
    """
    if image.format == "TIFF":
        return 1
    try:
        orientation = Image.Image.getexif(image).get(ORIENTATION, 1)
    except Exception:  # of many types
        return 1
    return orientation if orientation in range(1, 9) else 1


def _is_gray(image: Image.Image) -> bool:
    if image.mode == "P":  # a gray PNG is often saved as a palette of grays
        colours = np.asarray(image.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)
        return bool((colours == colours[:, :1]).all())
    return image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")


def read_header(raw: bytes, where: str) -> Header:
    """Return the size and channels of an image file without decoding it.

    Args:
        raw: the file's bytes.
        where: the file's name, for error messages.

    Raises:
        UserError: the file is not an image, or too large.
    """
    with _opened(raw, where) as image:
        width, height = image.size
        if _orientation(image) >= 5:
            width, height = height, width
        return Header(height, width, 1 if _is_gray(image) else 3, getattr(image, "is_animated", False))


def _eight_bits(image: Image.Image, where: str) -> Image.Image:
    """Scale 16-bit gray to 8 bits with rounding; Pillow's conversion would clip at 255.

    Raises:
        UserError: the pixels are floats, or integers outside of 0 … 65535, so that their range is not known.
    """
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        problem = f"{where}: {values.dtype} pixels from {values.min():g} to {values.max():g}"
        raise UserError(problem, None, "save them with 8 or 16 bits")
    return Image.fromarray(((values.astype(np.int64) + 128) // 257).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    """Composite an image on white, round(alpha · colour + (1 - alpha) · 255), in integer arithmetic."""
    rgba = np.asarray(image.convert("RGBA")).astype(np.uint32)
    colour, alpha = rgba[..., :3], rgba[..., 3:]
    return Image.fromarray(((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8))


def to_channels(image: Image.Image, channels: Channels) -> Image.Image:
    """Convert an image of any mode with 8 bits per channel to L, RGB or RGBA."""
    if channels != 4 and image.has_transparency_data:
        image = _on_white(image)
    return image if image.mode == MODES[channels] else image.convert(MODES[channels])


def decode(raw: bytes, where: str, channels: Channels) -> Image.Image:
    """Decode an image file.

    Args:
        raw: the file's bytes.
        where: the file's name, for error messages.
        channels: 1 for gray, 3 for RGB, 4 for RGBA.

    Returns:
        An image of mode L, RGB or RGBA, with its EXIF orientation applied.

    Raises:
        UserError: the file is corrupt, not an image, or too large, or its pixels are of an unknown range.
    """
    with _opened(raw, where) as image:
        turned = _orientation(image) != 1
        image.load()
        upright = ImageOps.exif_transpose(image) if turned else image
        return to_channels(_eight_bits(upright, where) if upright.mode[0] in "IF" else upright, channels)


def pixels(image: Image.Image) -> Pixels:
    """Return an image's pixels, uint8 [H, W, C]."""
    array = np.asarray(image)
    return array[..., None] if array.ndim == 2 else array
