"""Base class of systems that translate images."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from saddlepoint import randomness
from saddlepoint.compilation import uncompiled
from saddlepoint.errors import UserError, choose
from saddlepoint.systems.game import Game
from saddlepoint.systems.sampling import evaluating

BLOCK = 16
"""Batch size of translation. It is fixed, since the last bits of a convolution's output depend on the batch size."""


class Translating(Game):
    """A game whose generators map images to images.

    Attributes:
        directions: the source and target columns of each map, by its name.
        translators: the role of each map's network.
    """

    directions: Mapping[str, tuple[str, str]]
    translators: Mapping[str, str]

    @torch.no_grad()
    def translate(
        self, images: Tensor, direction: str | None = None, seed: int = 0, ema: bool = True, start: int = 0
    ) -> Tensor:
        """Return translations of images, computed in evaluation mode.

        Random draws are keyed by (seed, index), so images can be translated in parts.

        Args:
            images: float [N, C, H, W] in [-1, 1], from the source column of the direction.
            direction: a key of :attr:`directions`; by default the first.
            seed: seed of the network's random draws, such as dropout that is active in evaluation mode.
            ema: whether to use the averaged weights, if they exist.
            start: index of the first image.

        Returns:
            Float [N, C', H, W] in [-1, 1], on the system's device; the same for the same images and seed.

        Raises:
            UserError: the direction does not exist.
        """
        direction = direction or next(iter(self.directions))
        if direction not in self.directions:
            raise UserError(f"there is no direction '{direction}'", "direction", choose(direction, self.directions))
        network, made, stop = self.network(self.translators[direction], ema), [], start + len(images)
        with evaluating(network), torch.autocast(self.device.type, enabled=False), uncompiled():
            for first in range(start - start % BLOCK, stop, BLOCK):
                randomness.reseed(self.device, seed, "translate", first // BLOCK)
                block = images[max(first - start, 0) : first + BLOCK - start]
                before, after = max(start - first, 0), max(first + BLOCK - stop, 0)
                padded = torch.cat([block[:1].expand(before, -1, -1, -1), block, block[:1].expand(after, -1, -1, -1)])
                made.append(network(padded.to(self.device))[before : before + len(block)])
        return torch.cat(made)
