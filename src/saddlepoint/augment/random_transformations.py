"""Random transformations with a given probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from saddlepoint.augment.base import Augment
from saddlepoint.augment.transformations import Transformations, check_images, transform
from saddlepoint.kinds import Fraction
from saddlepoint.schedules import Probability


class RandomTransformations(Augment):
    """The transformations of ADA with a probability that is given instead of adapted.

    Huang et al. 2024, arXiv:2501.05441, increase it during training, since a loss of differences D(x) - D(G(z)) leaves
    the sign of D(x) arbitrary, and ADA adapts to that sign. See :func:`~saddlepoint.augment.transformations.transform`
    for the transformations, and :class:`~saddlepoint.augment.ADA` for the differences from their paper.
    """

    def __init__(
        self,
        probability: Probability,
        transformations: Sequence[Transformations] = ("blit", "geometric", "color", "cutout"),
        color_probability: Fraction = 1.0,
    ) -> None:
        """Set the probability.

        Args:
            probability: probability p of each transformation, or a ramp of it.
            transformations: sets of transformations to apply.
            color_probability: probability of each transformation of ``color`` as a multiple of p.
        """
        super().__init__()
        self.probability = self.initial("probability", probability)
        self.transformations, self.color_probability = tuple(transformations), color_probability

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Check that the discriminator is for images, with 1, 3 or 4 channels for ``color``.

        Raises:
            UserError: it is not.
        """
        check_images(networks, self.transformations, "RandomTransformations")

    def forward(self, samples: Tensor, random: torch.Generator) -> Tensor:
        """Return transformed images [N, C, H, W]."""
        p = torch.full((), self.probability, device=samples.device)
        return transform(samples, p, random, self.transformations, self.color_probability)

    def extra_repr(self) -> str:
        """Return the transformations."""
        return f"transformations={self.transformations}, color_probability={self.color_probability}"
