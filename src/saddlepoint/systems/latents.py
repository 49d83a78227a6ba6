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
            section 3.1) and the uniform is restricted to ±truncation. Latents of the same generator with different
            truncations are monotonic functions of each other, so that the samples remain recognizable.
    """
    if prior == "uniform":
        return torch.empty(n, dim, device=random.device).uniform_(-truncation, truncation, generator=random)
    z = torch.randn(n, dim, device=random.device, generator=random)
    return z if truncation == 1.0 else truncated(z, 2 * truncation)


def truncated(z: Tensor, limit: float) -> Tensor:
    """Map standard normal values to a normal truncated to ±limit, by the inverse of its distribution function.

    Brock et al. resample values beyond the limit; the distribution is the same.
    """
    mass = math.erf(limit / math.sqrt(2))
    return (math.sqrt(2) * torch.erfinv(mass * torch.erf(z.double() / math.sqrt(2)))).to(z.dtype)


def keyed(prior: Prior, dim: int, seed: int, start: int, count: int, truncation: float = 1.0) -> Tensor:
    """Return latents ``start … start + count - 1`` of the sequence of ``seed``, [count, dim], on the CPU."""
    return randomness.rows(lambda n, random: draw(prior, n, dim, random, truncation), seed, "sample", start, count)
