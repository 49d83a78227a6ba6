"""Berthelot et al. 2017, "BEGAN: Boundary Equilibrium Generative Adversarial Networks", arXiv:1703.10717."""

from __future__ import annotations

import torch
from pydantic import PositiveFloat
from torch import Tensor

from saddlepoint import ranks
from saddlepoint.kinds import Fraction
from saddlepoint.losses.base import AdversarialLoss, scores
from saddlepoint.turns import Turn
from saddlepoint.types import CriticOutput


class BEGAN(AdversarialLoss):
    """Reconstruction losses L with proportional control of their ratio, γ = E L(G(z)) / E L(x) (section 3.4).

    - discriminator: L(x) - k_t L(G(z_D))
    - generator: L(G(z_G))
    - k_{t+1} = k_t + λ_k (γ L(x) - L(G(z_G))), clipped to [0, 1], after each turn of the generator

    The convergence measure M = L(x) + |γ L(x) - L(G(z_G))| of section 3.4.1 and k_t are logged in the generator's turn.
    L(x) is taken from the last turn of the discriminator, which is on the same batch if ``discriminator_steps`` is 1.

    Attributes:
        k: k_t, a scalar buffer with initial value 0.
        real_energy: L(x) of the last turn of the discriminator, a scalar buffer.
    """

    critic = "energy"
    batch_coupled = True  # the update of k needs the mean over the whole batch

    k: Tensor
    real_energy: Tensor

    def __init__(self, gamma: Fraction = 0.5, rate: PositiveFloat = 0.001) -> None:
        """Set the parameters of the control.

        Args:
            gamma: the diversity ratio γ; lower values give sharper and less diverse samples.
            rate: the gain λ_k.
        """
        super().__init__()
        self.gamma, self.rate = gamma, rate
        self.register_buffer("k", torch.zeros(()))
        self.register_buffer("real_energy", torch.zeros(()))

    def discriminator(self, real: CriticOutput, fake: CriticOutput) -> Tensor:
        """Return L(x) - k_t L(G(z)), a scalar."""
        return scores(real).mean() - self.k * scores(fake).mean()

    def generator(self, fake: CriticOutput, real: CriticOutput | None = None) -> Tensor:
        """Return L(G(z)), a scalar >= 0."""
        return scores(fake).mean()

    def observe(self, turn: Turn) -> None:
        """Store L(x) after a discriminator turn; update k_t after a generator turn."""
        if "discriminator" in turn.players:
            self.real_energy.copy_(ranks.mean(scores(turn.outputs["real"]).mean()))
        elif "generator" in turn.players:
            balance = self.gamma * self.real_energy - ranks.mean(scores(turn.outputs["fake"]).mean())
            self.k.add_(self.rate * balance).clamp_(0, 1)
            turn.logs["k"] = self.k.clone()
            turn.logs["convergence"] = self.real_energy + balance.abs()
