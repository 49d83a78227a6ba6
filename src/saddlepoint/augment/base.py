"""Base class of augments."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from saddlepoint import ranks, trees
from saddlepoint.errors import UserError
from saddlepoint.parts import Part
from saddlepoint.turns import Turn


class Augment(Part, ABC):
    """Base class of random, differentiable transformations of the discriminator's inputs, real and generated.

    All inputs of the discriminator are augmented. For the conditions under which augmentations do not leak into
    generated samples, see Karras et al. 2020, arXiv:2006.06676, section 2.2. Augments are applied in the order of the
    config.
    """

    @abstractmethod
    def forward(self, samples: Tensor, random: torch.Generator) -> Tensor:
        """Return transformed samples; each sample is transformed independently.

        Args:
            samples: images [N, C, H, W] in approximately [-1, 1], or points [N, D], float32 or float64. They are not
                changed in place.
            random: generator of all random draws, on the samples' device.

        Raises:
            UserError: the transformation does not support these samples.
        """


def refuse_points(network: nn.Module, what: str) -> None:
    """Check that a network is for images.

    Args:
        network: a network with an attribute ``shape``.
        what: start of the error message, such as "ADA transforms images".

    Raises:
        UserError: the network is for points.
    """
    if len(getattr(network, "shape", (1, 1, 1))) != 3:
        raise UserError(f"{what}, and the data are points", None, "leave it out, or choose image data")


def images_in(turn: Turn) -> Tensor:
    """Return the number of training images of a turn, summed over ranks; a scalar that is the same on all ranks."""
    device = next(trees.leaves(turn.real)).device
    return ranks.mean(torch.full((), trees.length(turn.real) / turn.share, device=device)) * ranks.world_size()
