"""Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", arXiv:1912.04958."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from saddlepoint import ranks
from saddlepoint.compilation import uncompiled
from saddlepoint.errors import UserError
from saddlepoint.networks.layers.precision import at_least_float32, full_precision
from saddlepoint.regularizers.base import Regularizer
from saddlepoint.schedules import Weight
from saddlepoint.turns import Styled, Turn

LOG = "length"


class PathLength(Regularizer):
    """Path length regularization of a generator, λ E (‖Jᵀy‖₂ - a)² (equation 4).

    J is the Jacobian of G with respect to the styles w of all L layers, or in a generator without styles to the latents
    z, and Jᵀy = ∇_w (G(w)·y) with y ~ N(0, I) / √(H·W). At this scale, the paper's γ = ln 2 / (r² (ln r - ln 2))
    (appendix B) is λ = r²·γ = 1 / (log₂ r - 1) for images of r×r pixels: 0.25 at 32, 0.2 at 64, 0.167 at 128 px. Since
    L = 2 log₂ r - 2, it equals the published code's 2 E (ℓ - b)², where ℓ² is the mean over layers l of the squared
    norm of ∇_{w_l} (G(w)·y). The target a is an exponential moving average of the mean length, initialized to the
    first. The penalty has its own forward pass, in float32. The mean length is logged as ``length``.

    Args:
        weight: λ; None: the paper's, with r = √(H·W).
        player: player to whose loss the penalty is added.
        interval: number of the player's turns per penalty; 8 in appendix B, 4 in the paper's code.
        decay: decay of the average length per penalty.
        shrink: factor by which the batch of latents is reduced, to save time and memory.
        knobs: see :class:`~saddlepoint.regularizers.base.Regularizer`.
    """

    of_single_samples = True
    average: Tensor
    started: Tensor

    def __init__(
        self,
        weight: Weight | None = None,
        player: str = "generator",
        interval: PositiveInt = 8,
        decay: Annotated[float, Field(ge=0, lt=1)] = 0.99,
        shrink: PositiveInt = 2,
        **knobs: Any,
    ) -> None:
        super().__init__(1.0 if weight is None else weight, player, interval=interval, **knobs)
        self.papers = weight is None
        self.decay, self.shrink = decay, shrink
        self.register_buffer("average", torch.zeros(()))
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def penalty(self, turn: Turn) -> Tensor:
        """Return λ E (‖Jᵀy‖₂ - a)², a scalar.

        Raises:
            UserError: the turn has no latents or generator, or the samples are no images and there is no weight.
        """
        generate = self.generator(turn)
        n = max(1, len(turn.latents) // self.shrink)
        latents = at_least_float32(turn.latents[:n].detach()).requires_grad_()
        with full_precision(latents.device), uncompiled():
            if isinstance(generate, Styled):
                latents = generate.map(latents)  # the paper's w
                samples = generate.synthesise(latents)
            else:
                samples = generate(latents)
            y = torch.randn(samples.shape, generator=turn.random, device=samples.device, dtype=samples.dtype)
            y = y / math.sqrt(math.prod(samples.shape[2:]))
            (product,) = torch.autograd.grad((samples * y).sum(), latents, create_graph=True)
            lengths = torch.linalg.vector_norm(product.flatten(1), dim=1)
        turn.logs[LOG] = lengths.detach().mean()
        target = torch.where(self.started, self.average, turn.logs[LOG])  # initially of this rank
        weight = papers_weight(samples.shape) if self.papers else self.weight
        return weight * (lengths - target).square().mean()

    def observe(self, turn: Turn) -> None:
        """Update the average after a turn with a penalty."""
        if self.player in turn.players and LOG in turn.logs:
            length = ranks.mean(turn.logs[LOG])
            self.average.copy_(torch.where(self.started, self.decay * self.average + (1 - self.decay) * length, length))
            self.started.fill_(True)


def papers_weight(shape: Sequence[int]) -> float:
    """Return the paper's weight for images of a shape [N, C, H, W], with r = √(H·W).

    >>> papers_weight((16, 3, 32, 32)), papers_weight((16, 3, 64, 64))
    (0.25, 0.2)

    Raises:
        UserError: the samples are not images of more than 2 px.
    """
    side = math.sqrt(math.prod(shape[2:]))
    if side <= 2:
        raise UserError("the default is for images", "weight", "set it")
    return 1 / (math.log2(side) - 1)
