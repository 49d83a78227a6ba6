"""Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training", arXiv:2006.10738."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from saddlepoint.augment.base import Augment, refuse_points
from saddlepoint.augment.geometry import pixels

Policy = Literal["color", "translation", "cutout"]


class DiffAugment(Augment):
    """Colour, translation and cutout, each drawn anew for each image, in the order of the policy (section 3.2).

    - ``color``: brightness + U(-½, ½), then saturation times U(0, 2), then contrast times U(½, 3/2); of the first three
      channels where there are four;
    - ``translation``: by whole pixels, up to ⅛ of each side, zeros coming in;
    - ``cutout``: a rectangle of half of each side, centred anywhere in the image, becomes zero.
    """

    def __init__(self, policy: Sequence[Policy] = ("color", "translation", "cutout")) -> None:
        """Take what is done, in order."""
        super().__init__()
        self.policy = tuple(policy)

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Refuse points.

        Raises:
            UserError: the discriminator sees points.
        """
        refuse_points(networks["discriminator"], "DiffAugment transforms images")

    def forward(self, samples: Tensor, random: torch.Generator) -> Tensor:
        """Transform images [N, C, H, W]."""
        for name in self.policy:
            samples = TRANSFORMATIONS[name](samples, random)
        return samples

    def extra_repr(self) -> str:
        """Show the policy."""
        return f"policy={self.policy}"


def color(images: Tensor, random: torch.Generator) -> Tensor:
    """Change brightness, saturation and contrast."""
    draws = torch.rand((3, len(images), 1, 1, 1), generator=random, device=images.device, dtype=images.dtype)
    brightness, saturation, contrast = draws[0] - 0.5, 2 * draws[1], draws[2] + 0.5
    colored, rest = images[:, :3], images[:, 3:]
    colored = colored + brightness
    colored = torch.lerp(colored.mean(1, keepdim=True), colored, saturation)
    colored = torch.lerp(colored.mean((1, 2, 3), keepdim=True), colored, contrast)
    return torch.cat([colored, rest], dim=1)


def translation(images: Tensor, random: torch.Generator) -> Tensor:
    """Shift by whole pixels."""
    places, visible = [], torch.ones((), dtype=torch.bool, device=images.device)
    for axis, side in enumerate(images.shape[2:]):
        reach = round(side / 8)
        shift = torch.randint(-reach, reach + 1, (len(images),), generator=random, device=images.device)
        at = _along(axis, torch.arange(side, device=images.device) - shift[:, None])
        visible = visible & (at >= 0) & (at < side)
        places.append(at.clamp(0, side - 1))
    return pixels(images, *places) * visible[:, None]


def cutout(images: Tensor, random: torch.Generator) -> Tensor:
    """Blank a rectangle."""
    hidden = torch.ones((), dtype=torch.bool, device=images.device)
    for axis, side in enumerate(images.shape[2:]):
        size = round(side / 2)
        start = torch.randint(0, side + 1 - size % 2, (len(images),), generator=random, device=images.device)
        at = _along(axis, torch.arange(side, device=images.device) - (start - size // 2)[:, None])
        hidden = hidden & (at >= 0) & (at < size)
    return images * ~hidden[:, None]


def _along(axis: int, values: Tensor) -> Tensor:
    """Lay values [N, side] along rows (axis 0) or columns (axis 1) of images."""
    return values[:, :, None] if axis == 0 else values[:, None, :]


TRANSFORMATIONS = {"color": color, "translation": translation, "cutout": cutout}
