"""Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training", arXiv:2006.10738."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from saddlepoint.augment.base import Augment, refuse_points
from saddlepoint.augment.geometry import pixels

Policy = Literal["color", "translation", "cutout"]


class DiffAugment(Augment):
    """Colour transformation, translation and cutout, drawn independently for each image (section 3.2).

    - ``color``: adds U(-½, ½) to the brightness, then multiplies the saturation by U(0, 2) and the contrast by
      U(½, 3/2); a fourth channel is not changed;
    - ``translation``: translation by whole pixels, up to ⅛ of each side, rounded, with zero padding;
    - ``cutout``: sets a rectangle of half of each side, centred anywhere in the image, to zero.
    """

    def __init__(self, policy: Sequence[Policy] = ("color", "translation", "cutout")) -> None:
        """Set the transformations, which are applied in the order of ``policy``."""
        super().__init__()
        self.policy = tuple(policy)

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Check that the discriminator is for images.

        Raises:
            UserError: it is for points.
        """
        refuse_points(networks["discriminator"], "DiffAugment transforms images")

    def forward(self, samples: Tensor, random: torch.Generator) -> Tensor:
        """Return transformed images [N, C, H, W]."""
        for name in self.policy:
            samples = TRANSFORMATIONS[name](samples, random)
        return samples

    def extra_repr(self) -> str:
        """Return the policy."""
        return f"policy={self.policy}"


def color(images: Tensor, random: torch.Generator) -> Tensor:
    """Return images with random brightness, saturation and contrast."""
    draws = torch.rand((3, len(images), 1, 1, 1), generator=random, device=images.device, dtype=images.dtype)
    brightness, saturation, contrast = draws[0] - 0.5, 2 * draws[1], draws[2] + 0.5
    colored, rest = images[:, :3], images[:, 3:]
    colored = colored + brightness
    colored = torch.lerp(colored.mean(1, keepdim=True), colored, saturation)
    colored = torch.lerp(colored.mean((1, 2, 3), keepdim=True), colored, contrast)
    return torch.cat([colored, rest], dim=1)


def translation(images: Tensor, random: torch.Generator) -> Tensor:
    """Return randomly translated images."""
    places, visible = [], torch.ones((), dtype=torch.bool, device=images.device)
    for axis, side in enumerate(images.shape[2:]):
        reach = _rounded(side / 8)
        shift = torch.randint(-reach, reach + 1, (len(images),), generator=random, device=images.device)
        at = _along(axis, torch.arange(side, device=images.device) - shift[:, None])
        visible = visible & (at >= 0) & (at < side)
        places.append(at.clamp(0, side - 1))
    return pixels(images, *places) * visible[:, None]


def cutout(images: Tensor, random: torch.Generator) -> Tensor:
    """Return images with a random rectangle set to zero."""
    hidden = torch.ones((), dtype=torch.bool, device=images.device)
    for axis, side in enumerate(images.shape[2:]):
        size = _rounded(side / 2)
        start = torch.randint(0, side + 1 - size % 2, (len(images),), generator=random, device=images.device)
        at = _along(axis, torch.arange(side, device=images.device) - (start - size // 2)[:, None])
        hidden = hidden & (at >= 0) & (at < size)
    return images * ~hidden[:, None]


def _rounded(value: float) -> int:
    """Return the nearest integer, rounding half up, as the published code does; Python rounds half to even."""
    return math.floor(value + 0.5)


def _along(axis: int, values: Tensor) -> Tensor:
    """Return values [N, side] as [N, side, 1] for axis 0 or [N, 1, side] for axis 1."""
    return values[:, :, None] if axis == 0 else values[:, None, :]


TRANSFORMATIONS = {"color": color, "translation": translation, "cutout": cutout}
