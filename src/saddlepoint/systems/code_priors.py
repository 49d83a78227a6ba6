"""Priors of the codes of adversarial autoencoders: Makhzani et al. 2015, arXiv:1511.05644, section 2.3.

The paper gives the shapes of the mixture and of the swiss roll only in figures. Here the mean squared norm of draws is
the dimension, as for the standard normal distribution.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from saddlepoint.systems import latents

PriorName = Literal["gaussian", "mixture", "swiss_roll"]
"""Names of the priors."""

COMPONENTS = 10
"""Number of Gaussians of the mixture (figure 2)."""
RADIAL = 0.45
"""Standard deviation of each Gaussian away from the origin."""
TANGENTIAL = 0.14
"""Standard deviation of each Gaussian in the other direction, with up to ten Gaussians."""
TURNS = 2
"""Number of turns of the swiss roll."""


def draw(
    prior: PriorName,
    n: int,
    dim: int,
    random: torch.Generator,
    components: int = COMPONENTS,
    labels: Tensor | None = None,
    truncation: float = 1.0,
) -> Tensor:
    """Return codes [n, dim] on the generator's device.

    Args:
        prior: ``gaussian`` for N(0, I), or ``mixture`` or ``swiss_roll`` in two dimensions.
        n: number of codes.
        dim: dimension of the codes.
        random: random number generator.
        components: number K of Gaussians of the mixture, or of parts of the swiss roll.
        labels: part of the prior that each code is drawn from, long [n] in 0 … K; label K stands for the whole prior.
            None draws all codes from the whole prior. Ignored for ``gaussian``.
        truncation: truncation of the Gaussian, in (0, 1].
    """
    if prior == "gaussian":
        return latents.draw("normal", n, dim, random, truncation)
    u = torch.rand(n, device=random.device, generator=random)
    if labels is not None:
        u = torch.where(labels < components, (labels + u) / components, u)
    if prior == "swiss_roll":
        return swiss_roll(u)
    noise = torch.randn(n, 2, device=random.device, generator=random)
    return mixture((u * components).long().clamp(max=components - 1), components, noise)


def mixture(component: Tensor, components: int, noise: Tensor) -> Tensor:
    """Return codes of Gaussians in a ring, elongated away from the origin like petals.

    With K Gaussians, number k has the mean r (cos θ, sin θ), θ = 2πk/K, and the standard deviations 0.45 along the mean
    and s = min(0.14, 1.4/K) across it; r is such that r² + 0.45² + s² = 2.

    Args:
        component: long [N], in 0 … K - 1.
        components: K.
        noise: standard normal values, [N, 2].
    """
    across = min(TANGENTIAL, TANGENTIAL * COMPONENTS / components)
    radius = math.sqrt(2 - RADIAL**2 - across**2)
    angle = component * (2 * math.pi / components)
    cos, sin = angle.cos(), angle.sin()
    along, aside = radius + RADIAL * noise[:, 0], across * noise[:, 1]
    return torch.stack([along * cos - aside * sin, along * sin + aside * cos], 1)


def swiss_roll(u: Tensor) -> Tensor:
    """Return points ρ (cos φ, sin φ) of a spiral of two turns, φ = 4π √u, ρ = 2 √u, [N, 2].

    Positions u are [N] in [0, 1]. For uniform u, the density along the spiral is nearly constant, since its length is
    about φ².
    """
    root = u.sqrt()
    angle = 2 * math.pi * TURNS * root
    return 2 * root.unsqueeze(1) * torch.stack([angle.cos(), angle.sin()], 1)
