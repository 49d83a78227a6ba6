"""Checks of sample shapes, and the pyramid of sizes of a convolutional network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from saddlepoint.errors import UserError

SMALLEST, LARGEST = 8, 128


class Pyramid(NamedTuple):
    """The sizes from an image down to a small base by repeated halving.

    Attributes:
        channels: channels of the image.
        height: height of the base.
        width: width of the base.
        levels: number of halvings, 1 to 5.
    """

    channels: int
    height: int
    width: int
    levels: int


def image_pyramid(network: str, shape: Sequence[int], largest: int = LARGEST) -> Pyramid:
    """Return the pyramid of images of shape (C, H, W), whose short side is base · 2^levels with a base of 4 to 7.

    Args:
        network: name of the network, for errors.
        shape: (C, H, W).
        largest: maximum length of a side.

    >>> image_pyramid("dcgan", (1, 28, 28))
    Pyramid(channels=1, height=7, width=7, levels=2)
    >>> image_pyramid("dcgan", (3, 64, 32))
    Pyramid(channels=3, height=8, width=4, levels=3)

    Raises:
        UserError: the shape is not supported.
    """
    if len(shape) != 3:
        raise _not_an_image(network, shape)
    channels, height, width = shape
    if not 1 <= channels <= 4:
        raise UserError(
            f"network '{network}' supports 1 to 4 channels, got {channels}", None, "choose images of 1 or 3 channels"
        )
    levels = _levels(min(height, width))
    fits = all(SMALLEST <= side <= largest and side % 2**levels == 0 for side in (height, width))
    if not fits:
        raise UserError(
            f"network '{network}' supports images of 8 to {largest} px whose short side is 4 to 7 times a power of two "
            f"(8, 10, 12, 14, 16, 20, 24, 28, 32, …) and whose long side is a multiple of that power, got "
            f"{height}x{width}",
            "shape",
            f"set it to {_nearest(height, width, largest)}",
        )
    return Pyramid(channels, height >> levels, width >> levels, levels)


def channels_by_level(levels: int, base: int, width: int) -> list[int]:
    """Return the channels of each level of a pyramid, coarsest first: min(base / side, width), at least 1.

    The side is that of a square pyramid, 4 · 2^level px.

    >>> channels_by_level(8, 16384, 512)
    [512, 512, 512, 512, 256, 128, 64, 32, 16]

    Args:
        levels: number of halvings.
        base: channels times side, at most.
        width: channels, at most.
    """
    return [max(min(base // (4 << level), width), 1) for level in range(levels + 1)]


def check_shape(network: str, shape: Sequence[int]) -> tuple[int, ...]:
    """Return ``shape`` as a tuple after checking that it is (C, H, W) for images or (D,) for points.

    Raises:
        UserError: it is neither.
    """
    if len(shape) not in (1, 3) or min(shape) < 1:
        raise UserError(f"network '{network}' supports images (C, H, W) and points (D,), got {_show(shape)}")
    return tuple(shape)


def check_image(network: str, shape: Sequence[int], multiple: int = 1) -> tuple[int, int, int]:
    """Return ``shape`` as a tuple after checking that it is (C, H, W) with sides that are multiples of ``multiple``.

    >>> check_image("unet", [3, 28, 64], 4)
    (3, 28, 64)

    Raises:
        UserError: it is not, or a side is shorter than 2 · multiple. The message suggests the nearest supported size.
    """
    if len(shape) != 3:
        raise _not_an_image(network, shape)
    channels, height, width = shape
    if any(side < 2 * multiple or side % multiple for side in (height, width)):
        near = [max(2, round(side / multiple)) * multiple for side in (height, width)]
        size = f"{near[0]}" if near[0] == near[1] else f"[{near[0]},{near[1]}]"
        raise UserError(
            f"network '{network}' supports images of at least {2 * multiple} px whose sides are multiples of "
            f"{multiple}, got {height}x{width}",
            "shape",
            f"set it to {size}",
        )
    return channels, height, width


def _not_an_image(network: str, shape: Sequence[int]) -> UserError:
    problem = f"network '{network}' supports only images (C, H, W), got {_show(shape)}"
    return UserError(problem, None, "choose a network for points, such as an MLP" if len(shape) == 1 else None)


def _levels(short: int) -> int:
    """Return the number of halvings of a side until it is in [4, 8), at least 1."""
    return max((short // 4).bit_length() - 1, 1)


def _nearest(height: int, width: int, largest: int) -> str:
    """Return the nearest supported size: one number for a square, else [height,width]."""
    sides = [base << level for level in range(1, largest.bit_length() - 2) for base in range(4, 8)]
    short = min((side for side in sides if side <= largest), key=lambda side: (abs(side - min(height, width)), -side))
    unit = 2 ** _levels(short)
    long = min(range(short, largest + 1, unit), key=lambda side: (abs(side - max(height, width)), -side))
    if short == long:
        return str(short)
    return f"[{long},{short}]" if height > width else f"[{short},{long}]"


def _show(shape: Sequence[int]) -> str:
    return f"points of dimension {shape[0]}" if len(shape) == 1 else f"shape {tuple(shape)}"
