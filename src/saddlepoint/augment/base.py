"""What every augment promises."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from saddlepoint import ranks, trees
from saddlepoint.errors import UserError
from saddlepoint.parts import Part
from saddlepoint.turns import Turn


class Augment(Part, ABC):
    """A random, differentiable transformation of whatever the discriminator is shown, real and generated alike.

    The discriminator never sees samples without it; which transformations then do not leak into the generator, Karras
    et al. 2020, arXiv:2006.06676, say in section 2.2. Augments follow one another in the order of the config.
    """

    def __init__(self) -> None:  # a signature without nn.Module's *args, so that an unknown key in a file is an error
        super().__init__()

    @abstractmethod
    def forward(self, samples: Tensor, random: torch.Generator) -> Tensor:
        """Transform samples, [N, C, H, W] in about [-1, 1] or points [N, D], of float32 or wider; each on its own.

        Args:
            samples: not changed in place.
            random: on the samples' device; all draws come from it, so that a resumed run repeats them.

        Raises:
            UserError: these samples cannot be transformed so.
        """


def refuse_points(network: nn.Module, what: str) -> None:
    """Refuse a network of points where only images will do.

    Args:
        network: says by its ``shape`` what it builds for.
        what: what is done to images, for the error.

    Raises:
        UserError: the network does not see images.
    """
    if len(getattr(network, "shape", (1, 1, 1))) != 3:
        raise UserError(f"{what}, and the data are points", None, "leave it out, or choose image data")


def images_in(turn: Turn) -> Tensor:
    """Return how many data-set images the turn's batch had on all ranks, a scalar that is the same on each."""
    device = next(trees.leaves(turn.real)).device
    return ranks.mean(torch.full((), trees.length(turn.real) / turn.share, device=device)) * ranks.world_size()
