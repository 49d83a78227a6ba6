"""f-GAN.

Nowozin et al. 2016, "f-GAN: Training Generative Neural Samplers using Variational Divergence Minimization",
arXiv:1606.00709.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from saddlepoint.errors import UserError
from saddlepoint.losses.base import AdversarialLoss, scores
from saddlepoint.types import CriticOutput

Name = Literal[
    "kl",
    "reverse_kl",
    "pearson",
    "neyman",
    "squared_hellinger",
    "jensen_shannon",
    "gan",
    "total_variation",
    "alpha",
]
"""Divergences of table 1 and of the supplement."""


class Divergence(NamedTuple):
    """The functions g and f*∘g of a divergence D_f(P‖Q) = ∫ q(x) f(p(x)/q(x)) dx.

    Its variational lower bound is E_P[T] - E_Q[f*(T)] with T = g(V).

    Attributes:
        activation: the increasing function g from scores V to the domain of the conjugate f*.
        conjugate: V ↦ f*(g(V)), simplified for numerical accuracy where g saturates.
    """

    activation: Callable[[Tensor], Tensor]
    conjugate: Callable[[Tensor], Tensor]


# Each comment gives f(u), whose derivative at p/q is the optimal T, and f*(t). jensen_shannon is twice the usual
# divergence, and gan is jensen_shannon minus log 4. With exponential g or f* (kl, reverse_kl, neyman,
# squared_hellinger), the loss can overflow if the critic is not regularized.
DIVERGENCES: dict[str, Divergence] = {
    # u log u;  exp(t - 1)
    "kl": Divergence(lambda v: v, lambda v: (v - 1).exp()),
    # -log u;  -1 - log(-t)
    "reverse_kl": Divergence(lambda v: -(-v).exp(), lambda v: v - 1),
    # (u - 1)²;  t²/4 + t for t >= -2, else -1, since u = p/q >= 0. The paper's table has the parabola for all t; for
    # t < -2 its gradient would have the wrong sign for the generator.
    "pearson": Divergence(lambda v: v, lambda v: (v / 2 + 1).clamp(min=0).square() - 1),
    # (1 - u)²/u;  2 - 2√(1 - t)
    "neyman": Divergence(lambda v: -torch.expm1(-v), lambda v: -2 * torch.expm1(-v / 2)),
    # (√u - 1)²;  t/(1 - t)
    "squared_hellinger": Divergence(lambda v: -torch.expm1(-v), torch.expm1),
    # u log u - (u + 1) log((u + 1)/2);  -log(2 - exp t)
    "jensen_shannon": Divergence(lambda v: math.log(2) + logsigmoid(v), lambda v: softplus(v) - math.log(2)),
    # u log u - (u + 1) log(u + 1);  -log(1 - exp t)
    "gan": Divergence(logsigmoid, softplus),
    # |u - 1|/2;  t, for |t| <= 1/2
    "total_variation": Divergence(lambda v: torch.tanh(v) / 2, lambda v: torch.tanh(v) / 2),
}


def alpha_divergence(alpha: float) -> Divergence:
    """Return the α-divergence, f(u) = (u^α - 1 - α(u - 1)) / (α(α - 1)), f*(t) = ((t(α - 1) + 1)^(α/(α-1)) - 1) / α.

    For α > 1, g is the identity, and the conjugate is constant for t < -1/(α - 1), since u = p/q >= 0. For α < 1,
    g(V) = 1/(1 - α) - log(1 + exp(-V)) < 1/(1 - α).

    Raises:
        UserError: α is 0 or 1, where the limit is reverse_kl or kl.
    """
    if alpha in (0, 1):
        name = "kl" if alpha == 1 else "reverse_kl"
        raise UserError(
            f"the α-divergence is not defined at {alpha:g}",
            "alpha",
            f"use its limit, divergence {name}",
        )
    power = alpha / (alpha - 1)
    if alpha > 1:
        return Divergence(lambda v: v, lambda v: ((v * (alpha - 1) + 1).clamp(min=0) ** power - 1) / alpha)
    return Divergence(
        lambda v: 1 / (1 - alpha) - softplus(-v),
        lambda v: (((1 - alpha) * softplus(-v)) ** power - 1) / alpha,
    )


def undecided(divergence: Name, alpha: float) -> float:
    """Return the score V with g(V) = f'(1), which is the optimal critic's where p = q."""
    if divergence == "kl":
        return 1.0
    return -math.log(math.expm1(1 / (1 - alpha))) if divergence == "alpha" and alpha < 1 else 0.0


class FGAN(AdversarialLoss):
    """The variational bound on an f-divergence between data P and generator Q (equations 4 and 6).

    - discriminator: -(E g(V(x)) - E f*(g(V(G(z))))), minus the bound, which is tight for g(V) = f'(p/q)
    - generator: -E f*(g(V(G(z)))), or -E g(V(G(z))) if ``nonsaturating`` (section 3.2)

    The activations g and conjugates f* are those of table 2 and of the supplement.
    """

    def __init__(self, divergence: Name = "pearson", nonsaturating: bool = True, alpha: float = 0.5) -> None:
        """Set the divergence.

        Args:
            divergence: name of the divergence.
            nonsaturating: whether the generator maximizes E g(V(G(z))) instead of E f*(g(V(G(z)))). The fixed point is
                the same, but the gradient does not vanish if the critic rejects generated samples with confidence.
            alpha: α of the α-divergence, not 0 or 1; ignored for other divergences.

        Raises:
            UserError: α is 0 or 1.
        """
        super().__init__()
        self.divergence, self.nonsaturating, self.alpha = divergence, nonsaturating, alpha
        self.functions = alpha_divergence(alpha) if divergence == "alpha" else DIVERGENCES[divergence]
        self.undecided = undecided(divergence, alpha)

    def discriminator(self, real: CriticOutput, fake: CriticOutput) -> Tensor:
        """Return E f*(g(V(G(z)))) - E g(V(x)), a scalar: minus a lower bound of D_f(P‖Q)."""
        return self.functions.conjugate(scores(fake)).mean() - self.functions.activation(scores(real)).mean()

    def generator(self, fake: CriticOutput, real: CriticOutput | None = None) -> Tensor:
        """Return -E g(V(G(z))) or -E f*(g(V(G(z)))), a scalar."""
        of = self.functions.activation if self.nonsaturating else self.functions.conjugate
        return -of(scores(fake)).mean()
