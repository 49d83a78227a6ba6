"""Tseng et al. 2021, "Regularizing Generative Adversarial Networks under Limited Data", arXiv:2104.03310."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from saddlepoint import ranks
from saddlepoint.regularizers.base import Regularizer
from saddlepoint.schedules import Weight
from saddlepoint.turns import Turn, sample_scores


class LeCam(Regularizer):
    """The LeCam regularizer, λ (E (D(x) - α_F)² + E (D(G(z)) - α_R)²) (equation 3).

    The anchors α_R and α_F are exponential moving averages of the critic's mean scores of real and of generated
    samples. They are initialized to the means of the first batch and updated after each turn of the player with the
    means over all ranks (with accumulation, those of the last micro-batch). The paper's code uses max(0, D(x) - α_F)²
    and max(0, α_R - D(G(z)))² instead.

    Args:
        weight: the paper's λ; 0.3 in its code for BigGAN with the hinge loss.
        decay: decay of the moving averages.
        knobs: see :class:`~saddlepoint.regularizers.base.Regularizer`.
    """

    acts_on_logits = True

    anchors: Tensor
    started: Tensor

    def __init__(self, weight: Weight = 0.3, decay: Annotated[float, Field(ge=0, lt=1)] = 0.99, **knobs: Any) -> None:
        super().__init__(weight, **knobs)
        self.decay = decay
        self.register_buffer("anchors", torch.zeros(2))  # α_R, α_F
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def penalty(self, turn: Turn) -> Tensor:
        """Return λ (E (D(x) - α_F)² + E (D(G(z)) - α_R)²), a scalar.

        Raises:
            UserError: the turn lacks the critic's outputs on real and generated samples.
        """
        self.judged(turn, "real", "fake")
        real, fake = (sample_scores(turn.outputs[kind]) for kind in ("real", "fake"))
        # The first anchors are those of this rank. A collective is not possible here, since the number of micro-batches
        # may differ between ranks.
        own = torch.stack([real.detach().mean(), fake.detach().mean()])
        anchor_real, anchor_fake = torch.where(self.started, self.anchors, own)
        return self.weight * ((real - anchor_fake).square().mean() + (fake - anchor_real).square().mean())

    def observe(self, turn: Turn) -> None:
        """Update the anchors after a turn of the player."""
        if self.player in turn.players:
            scores = [sample_scores(turn.outputs[kind]).detach().mean() for kind in ("real", "fake")]
            means = ranks.mean(torch.stack(scores))
            average = self.decay * self.anchors + (1 - self.decay) * means
            self.anchors.copy_(torch.where(self.started, average, means))
            self.started.fill_(True)
