"""Draws from the prior of the latents, optionally truncated."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from saddlepoint import randomness

Prior = Literal["normal", "uniform"]


def draw(prior: Prior, n: int, dim: int, random: torch.Generator, truncation: float = 1.0) -> Tensor:
    """Return latents [n, dim] on the generator's device.

    Args:
        prior: ``normal`` for N(0, I), ``uniform`` for U[-1, 1].
        n: number of latents.
        dim: dimension of the latents.
        random: random number generator.
        truncation: in (0, 1]; 1 is no truncation. Below 1, the normal is truncated to ±2·truncation (Brock et al. 2019,
            section 3.1, by resampling; here by the inverse distribution function, with the same distribution) and the
            uniform is restricted to ±truncation.
    """
    if prior == "uniform":
        return torch.empty(n, dim, device=random.device).uniform_(-truncation, truncation, generator=random)
    if truncation == 1.0:
        return torch.randn(n, dim, device=random.device, generator=random)
    mass = math.erf(2 * truncation / math.sqrt(2))
    centered = torch.empty(n, dim, device=random.device, dtype=torch.float64).uniform_(-mass, mass, generator=random)
    return (math.sqrt(2) * torch.erfinv(centered)).float()


def keyed(prior: Prior, dim: int, seed: int, start: int, count: int, truncation: float = 1.0) -> Tensor:
    """Return latents ``start … start + count - 1`` of the sequence of ``seed``, [count, dim], on the CPU."""
    return randomness.rows(lambda n, random: draw(prior, n, dim, random, truncation), seed, "sample", start, count)
