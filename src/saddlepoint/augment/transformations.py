"""The random transformations of Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data".

arXiv:2006.06676, section 2.3 and appendix B.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from saddlepoint.augment import color
from saddlepoint.augment.base import refuse_points
from saddlepoint.augment.geometry import warp
from saddlepoint.errors import UserError

Transformations = Literal["blit", "geometric", "color", "cutout"]
OCTAVE = math.log(2)


def transform(
    samples: Tensor,
    probability: Tensor,
    random: torch.Generator,
    transformations: Sequence[Transformations],
    color_probability: float = 1.0,
) -> Tensor:
    """Return transformed images, in the paper's order of the sets of transformations.

    Each transformation of a set is drawn independently for each image, and applied with a probability:

    - ``blit``: mirroring, rotation by multiples of 90°, translation by whole pixels up to ⅛ of each side;
    - ``geometric``: isotropic scaling, rotation, anisotropic scaling, rotation again, translation;
    - ``color``: brightness, contrast, luma flip, hue, saturation;
    - ``cutout``: a rectangle of half of each side, centred anywhere in the image, is set to zero.

    Args:
        samples: [N, C, H, W].
        probability: p, a scalar.
        random: generator of all random draws.
        transformations: the sets to apply.
        color_probability: probability of each transformation of ``color`` as a multiple of p.
    """
    draw = _Draws(len(samples), probability, random, samples.dtype)
    with torch.autocast(samples.device.type, enabled=False):
        if {"blit", "geometric"} & set(transformations):
            samples = warp(samples, _geometry(draw, transformations, *samples.shape[2:]))
        if "color" in transformations:
            colored = _Draws(len(samples), probability * color_probability, random, samples.dtype)
            samples = color.recolor(samples, _colors(colored))
        if "cutout" in transformations:
            samples = samples * ~_rectangles(draw, *samples.shape[2:])[:, None]
    return samples


def check_images(networks: Mapping[str, nn.Module], transformations: Sequence[Transformations], name: str) -> None:
    """Check that the discriminator is for images, with 1, 3 or 4 channels for ``color``.

    Raises:
        UserError: it is not.
    """
    discriminator = networks["discriminator"]
    refuse_points(discriminator, f"{name} transforms images")
    channels = getattr(discriminator, "shape", (1, 1, 1))[0]
    if "color" in transformations and channels not in (1, 3, 4):
        raise UserError(
            f"{name}'s color transformations need 1, 3 or 4 channels, got {channels}",
            "transformations",
            "leave out color",
        )


def _geometry(draw: _Draws, transformations: Sequence[Transformations], height: int, width: int) -> Tensor:
    """Return maps from output to input pixels, [N, 3, 3].

    Since they are inverses of the transformations, they are multiplied in the order of the transformations.
    """
    maps = torch.eye(3, device=draw.device, dtype=draw.dtype).expand(draw.n, 3, 3)
    if "blit" in transformations:
        maps = maps @ scaling(1 - 2 * draw.integer(2), draw.constant(1.0))
        maps = maps @ quarter_turns(draw.integer(4))
        right, down = draw.uniform(1 / 8, 2)
        maps = maps @ translation((right * width).round(), (down * height).round())
    if "geometric" in transformations:
        scale = draw.octaves(0.2)
        maps = maps @ scaling(scale, scale)
        rotates = 1 - (1 - draw.p).sqrt()  # so that one of the two rotations happens with probability p
        maps = maps @ rotation(draw.uniform(math.pi, 1, rotates)[0])
        scale = draw.octaves(0.2)
        maps = maps @ scaling(scale, 1 / scale)
        maps = maps @ rotation(draw.uniform(math.pi, 1, rotates)[0])
        right, down = draw.normal(1 / 8, 2)
        maps = maps @ translation(right * width, down * height)
    return maps


class _Draws:
    """Random parameters of transformations of n images, which have a neutral value with probability 1 - p."""

    def __init__(self, n: int, p: Tensor, random: torch.Generator, dtype: torch.dtype) -> None:
        self.n, self.random, self.dtype, self.device = n, random, dtype, random.device
        self.p = p.to(dtype)

    def _rand(self, count: int = 1) -> Tensor:
        return torch.rand(count, self.n, generator=self.random, device=self.device, dtype=self.dtype)

    def _randn(self, count: int = 1) -> Tensor:
        return torch.randn(count, self.n, generator=self.random, device=self.device, dtype=self.dtype)

    def _where(self, values: Tensor, neutral: float = 0.0, p: Tensor | None = None) -> Tensor:
        return torch.where(self._rand() < (self.p if p is None else p), values, neutral)

    def constant(self, value: float) -> Tensor:
        """Return the value, [n]."""
        return torch.full((self.n,), value, device=self.device, dtype=self.dtype)

    def integer(self, below: int) -> Tensor:
        """Return integers from 0 … below - 1, with neutral value 0, [n]."""
        return self._where((self._rand() * below).floor().clamp_max(below - 1))[0]

    def uniform(self, reach: float, count: int = 1, p: Tensor | None = None) -> Tensor:
        """Return draws from U(-reach, reach), with neutral value 0 for all of an image's draws or none, [count, n]."""
        return self._where((2 * self._rand(count) - 1) * reach, p=p)

    def either(self, value: float) -> Tensor:
        """Return the value, with neutral value 0, [n]."""
        return self._where(self.constant(value))[0]

    def places(self) -> Tensor:
        """Return draws from U(0, 1), [2, n]."""
        return self._rand(2)

    def normal(self, std: float, count: int = 1) -> Tensor:
        """Return draws from N(0, std²), with neutral value 0 for all of an image's draws or none, [count, n]."""
        return self._where(self._randn(count) * std)

    def octaves(self, std: float) -> Tensor:
        """Return 2^x with x from N(0, std²), with neutral value 1, [n]."""
        return self._where((self._randn() * std * OCTAVE).exp(), 1.0)[0]


def _colors(draw: _Draws) -> Tensor:
    maps = color.brightness(draw.normal(0.2)[0])
    maps = color.contrast(draw.octaves(0.5)) @ maps
    maps = color.luma_flip(draw.integer(2)) @ maps
    maps = color.hue(draw.uniform(math.pi)[0]) @ maps
    return color.saturation(draw.octaves(1.0)) @ maps


def _rectangles(draw: _Draws, height: int, width: int) -> Tensor:
    """Return whether pixels are in the rectangle of their image, bool [N, H, W]."""
    reach = draw.either(1 / 4)[:, None]  # half a side, as a fraction of the image's
    y, x = draw.places()
    rows, columns = (
        ((torch.arange(side, device=draw.device) + 0.5) / side - center[:, None]).abs() < reach
        for side, center in ((height, y), (width, x))
    )
    return rows[:, :, None] & columns[:, None, :]


# Homogeneous maps [N, 3, 3] from output to input coordinates: inverses of the transformations of the image.


def _rows(*rows: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    one, zero = torch.ones_like(rows[0][0]), torch.zeros_like(rows[0][0])
    return torch.stack([torch.stack(row, 1) for row in (*rows, (zero, zero, one))], 1)


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """Return the map of scaling by x, [N], horizontally and y, [N], vertically."""
    zero = torch.zeros_like(x)
    return _rows((1 / x, zero, zero), (zero, 1 / y, zero))


def rotation(angle: Tensor) -> Tensor:
    """Return the map of clockwise rotation by angles [N], in radians."""
    zero, cosine, sine = torch.zeros_like(angle), angle.cos(), angle.sin()
    return _rows((cosine, sine, zero), (-sine, cosine, zero))


def quarter_turns(count: Tensor) -> Tensor:
    """Return the exact map of clockwise rotation by multiples [N] of 90°."""
    angle = count * (math.pi / 2)
    return rotation(angle).round()


def translation(right: Tensor, down: Tensor) -> Tensor:
    """Return the map of translation by pixels, [N] each."""
    one, zero = torch.ones_like(right), torch.zeros_like(right)
    return _rows((one, zero, -right), (zero, one, -down))
