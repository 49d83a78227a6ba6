"""Tseng et al. 2021, "Regularizing Generative Adversarial Networks under Limited Data", arXiv:2104.03310."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from saddlepoint import ranks
from saddlepoint.regularizers.base import Regularizer
from saddlepoint.turns import Turn, sample_scores


class LeCam(Regularizer):
    """Real scores are held near the average of generated ones, and the other way round (equation 3).

    λ (E (D(x) - α_F)² + E (D(G(z)) - α_R)²), where the anchors α_R and α_F are exponential moving averages of the
    critic's mean score of real and of generated samples. They start at the first batch's means and move after each of
    the player's turns, by the batch's means over all ranks (under accumulation, the last piece's). The paper's code
    squares max(0, D(x) - α_F) and max(0, α_R - D(G(z))).

    Args:
        weight: the paper's λ, 0.3 in its code for BigGAN with the hinge loss.
        decay: of the moving averages.
        knobs: see :class:`~saddlepoint.regularizers.base.Regularizer`.
    """

    acts_on_logits = True

    anchors: Tensor
    started: Tensor

    def __init__(
        self, weight: NonNegativeFloat = 0.3, decay: Annotated[float, Field(ge=0, lt=1)] = 0.99, **knobs: Any
    ) -> None:
        super().__init__(weight, **knobs)
        self.decay = decay
        self.register_buffer("anchors", torch.zeros(2))  # α_R, α_F
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def penalty(self, turn: Turn) -> Tensor:
        """Return λ (E (D(x) - α_F)² + E (D(G(z)) - α_R)²), a scalar.

        Raises:
            UserError: the turn does not judge real and generated samples.
        """
        self.judged(turn, "real", "fake")
        real, fake = (sample_scores(turn.outputs[kind]) for kind in ("real", "fake"))
        # The first anchors are this rank's own: ranks may differ in their number of pieces, so none may wait here.
        own = torch.stack([real.detach().mean(), fake.detach().mean()])
        anchor_real, anchor_fake = torch.where(self.started, self.anchors, own)
        return self.weight * ((real - anchor_fake).square().mean() + (fake - anchor_real).square().mean())

    def observe(self, turn: Turn) -> None:
        """Move the averages after the player's turn."""
        if self.player in turn.players:
            scores = [sample_scores(turn.outputs[kind]).detach().mean() for kind in ("real", "fake")]
            means = ranks.mean(torch.stack(scores))
            average = self.decay * self.anchors + (1 - self.decay) * means
            self.anchors.copy_(torch.where(self.started, average, means))
            self.started.fill_(True)
