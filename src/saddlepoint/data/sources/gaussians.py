"""Mixtures of Gaussians in one and two dimensions, where coverage and the optimal discriminator are known exactly."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor

from saddlepoint.data.sources.base import Contents, Source, Table, digest_of
from saddlepoint.randomness import generator
from saddlepoint.types import Split

Layout = Literal["line", "ring", "grid"]

TRAIN, HELD_OUT = 100_000, 10_000


class Gaussians(Source):
    """An equal mixture of isotropic Gaussians: 100,000 fixed training points and 10,000 held out.

    Ring and grid are those of PacGAN's Table 1 (Lin et al. 2018, arXiv:1712.04086): 8 modes on the unit circle with σ =
    0.01, and 5x5 modes at -4, -2, 0, 2, 4 with σ = 0.05. The line has 5 modes at the same positions with σ = 0.25, wide
    enough to plot p_data / (p_data + p_g).

    A point's label is the mode that it was drawn from. Labels are not conditions, so there are no class names and
    batches have no labels; ``DataModule.arrays`` returns them.

    Args:
        layout: ``line`` (1-D), ``ring`` or ``grid`` (2-D).
        seed: of the points; independent of the run's seed, so that runs with different seeds have the same data.
        std: σ of every mode; None for the layout's.

    Attributes:
        means: the modes' centres, float32 [K, D].
        std: the standard deviation of every mode in each dimension.
    """

    name = "gaussians"

    def __init__(self, layout: Layout = "ring", seed: int = 0, std: PositiveFloat | None = None):
        self.layout = layout
        self.seed = seed
        self.means, own = _modes(layout)
        self.std = std or own
        self.name = f"gaussians_{layout}" + (f"_{std:g}" if std else "")

    def open(self) -> Contents:
        """See :meth:`Source.open`."""
        splits: dict[Split, list[Table]] = {
            "train": [self._draw("train", TRAIN)],
            "held_out": [self._draw("held_out", HELD_OUT)],
        }
        return Contents(splits, None, digest_of(splits))

    def _draw(self, split: Split, count: int) -> Table:
        random = generator("cpu", self.seed, "gaussians", self.layout, split)
        modes = torch.randint(len(self.means), (count,), generator=random)
        noise = torch.randn(count, self.means.shape[1], generator=random)
        points = (self.means[modes] + self.std * noise).numpy()
        return Table({"points": points}, modes.numpy())


def _modes(layout: Layout) -> tuple[Tensor, float]:
    axis = torch.arange(-4.0, 5.0, 2.0)
    if layout == "line":
        return axis[:, None], 0.25
    if layout == "grid":
        return torch.cartesian_prod(axis, axis), 0.05
    angles = torch.arange(8) * (2 * math.pi / 8)
    return torch.stack([angles.cos(), angles.sin()], dim=1), 0.01
