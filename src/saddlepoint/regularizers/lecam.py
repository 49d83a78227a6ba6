"""Tseng et al. 2021, "Regularizing Generative Adversarial Networks under Limited Data", arXiv:2104.03310."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor

from saddlepoint import ranks
from saddlepoint.errors import UserError
from saddlepoint.regularizers.base import Regularizer, sample_scores
from saddlepoint.types import Turn


class LeCam(Regularizer):
    """Real scores are held near the average of generated ones, and the other way round (equation 3).

    λ (E (D(x) - α_F)² + E (D(G(z)) - α_R)²), where the anchors α_R and α_F are exponential moving averages of the
    critic's mean score of real and of generated samples. They start at the first batch's means and move after each of
    the player's turns, by the batch's means over all ranks (under accumulation, the last piece's). The paper's code
    squares max(0, D(x) - α_F) and max(0, α_R - D(G(z))).
    """

    acts_on_logits = True

    anchors: Tensor
    started: Tensor

    def __init__(
        self,
        weight: NonNegativeFloat = 0.3,
        player: str = "discriminator",
        interval: PositiveInt = 1,
        decay: Annotated[float, Field(ge=0, lt=1)] = 0.99,
    ) -> None:
        """Take the penalty's settings.

        Args:
            weight: the paper's λ, 0.3 in its code for BigGAN with the hinge loss.
            player: whose scores are regularised.
            interval: turns of that player from one penalty to the next.
            decay: of the moving averages.
        """
        super().__init__(player, interval, weight)
        self.decay = decay
        self.register_buffer("anchors", torch.zeros(2))  # α_R, α_F
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def penalty(self, turn: Turn) -> Tensor:
        """Return λ (E (D(x) - α_F)² + E (D(G(z)) - α_R)²), a scalar.

        Raises:
            UserError: the turn does not judge real and generated samples.
        """
        if not {"real", "fake"} <= turn.outputs.keys():
            raise UserError(f"LeCam needs turns that judge real and generated samples; '{self.player}' has none")
        real, fake = (sample_scores(turn.outputs[kind]) for kind in ("real", "fake"))
        # Of this rank, at first: ranks may have different numbers of pieces, and must not wait for each other here.
        own = torch.stack([real.detach().mean(), fake.detach().mean()])
        anchor_real, anchor_fake = torch.where(self.started, self.anchors, own)
        return self.weight * ((real - anchor_fake).square().mean() + (fake - anchor_real).square().mean())

    def observe(self, turn: Turn) -> None:
        """Move the averages after the player's turn."""
        if turn.player == self.player:
            means = self._means(turn)
            average = self.decay * self.anchors + (1 - self.decay) * means
            self.anchors.copy_(torch.where(self.started, average, means))
            self.started.fill_(True)

    @staticmethod
    def _means(turn: Turn) -> Tensor:
        return ranks.mean(torch.stack([sample_scores(turn.outputs[kind]).detach().mean() for kind in ("real", "fake")]))
