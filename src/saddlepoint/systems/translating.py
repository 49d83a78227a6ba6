"""How systems map images to images."""

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
"""Images that pass at a time. A convolution's last bits depend on the batch size, so a fixed one is used."""


class Translating(Game):
    """A game whose generators map images to images.

    Attributes:
        directions: the maps by name, each with the columns of the data that it goes from and to.
        translators: the role of the network that each of them is.
    """

    directions: Mapping[str, tuple[str, str]]
    translators: Mapping[str, str]

    @torch.no_grad()
    def translate(self, images: Tensor, direction: str | None = None, seed: int = 0, ema: bool = True) -> Tensor:
        """Map images in evaluation mode.

        Args:
            images: float [N, C, H, W] in [-1, 1], of the column that the direction goes from.
            direction: one of :attr:`directions`; the first one by default.
            seed: of what the network draws, such as dropout that serves as noise.
            ema: from the averaged weights, where the system keeps some.

        Returns:
            Float [N, C', H, W] in [-1, 1], on the system's device; the same for the same images and seed.

        Raises:
            UserError: there is no such direction.
        """
        direction = direction or next(iter(self.directions))
        if direction not in self.directions:
            raise UserError(f"there is no direction '{direction}'", "direction", choose(direction, self.directions))
        network, made = self.network(self.translators[direction], ema), []
        with evaluating(network), torch.autocast(self.device.type, enabled=False), uncompiled():
            for index, block in enumerate(images.split(BLOCK)):
                randomness.reseed(self.device, seed, "translate", index)
                missing = BLOCK - len(block)
                padded = torch.cat([block, block[:1].expand(missing, -1, -1, -1)]) if missing else block
                made.append(network(padded.to(self.device))[: len(block)])
        return torch.cat(made)
