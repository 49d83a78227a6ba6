"""Im et al. 2016, "Generating images with recurrent adversarial networks", arXiv:1602.05110.

The algorithm is that of a GAN; backpropagation goes through all steps of the generator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from saddlepoint.errors import UserError
from saddlepoint.networks.gran import GRANGenerator
from saddlepoint.systems.capabilities import Shown, rows_of
from saddlepoint.systems.gan import GAN
from saddlepoint.systems.sampling import evaluating
from saddlepoint.types import Batch, ImageBatch


class GRAN(GAN):
    """A GAN whose generator draws on a canvas in several steps, which are shown during training.

    Args:
        networks: ``generator``, a :class:`~saddlepoint.networks.GRANGenerator`, and ``discriminator``.
        gan: other arguments; see :class:`~saddlepoint.systems.gan.GAN`.

    Raises:
        UserError: the generator has no canvases.
    """

    takes: ClassVar[tuple[type[Batch], ...]] = (ImageBatch,)

    def __init__(self, networks: Mapping[str, nn.Module], **gan: Any) -> None:
        if not isinstance(networks.get("generator"), GRANGenerator):
            problem = "GRAN needs a generator that draws in several steps"
            raise UserError(problem, "networks.generator", "choose network gran")
        super().__init__(networks, **gan)

    @torch.no_grad()
    def pictures(self, n: int, seed: int, held_out: Batch | None) -> Mapping[str, Shown]:
        """Return samples, and a picture with a row of the canvases of some samples after each step."""
        shown: dict[str, Shown] = dict(super().pictures(n, seed, held_out))
        network: Any = self.network("generator")
        draw = self.draw(seed, 0, max(n // network.steps, 1)).to(self.device)
        with evaluating(network):
            canvases = network.canvases(draw.latents)
        return shown | {"canvases": rows_of(*canvases)}
