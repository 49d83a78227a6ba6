"""Latents that consist of noise, categorical codes and continuous codes.

Chen et al. 2016, "InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial
Nets", arXiv:1606.03657.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from saddlepoint import randomness


@dataclass(frozen=True)
class Codes:
    """The distribution of latents [N, Z] = [noise, one-hot categorical codes, continuous codes].

    Noise and continuous codes are uniform on [-1, 1]; categories are equally likely.

    Attributes:
        noise: number of noise dimensions.
        categories: number of categories of each categorical code.
        continuous: number of continuous codes.
    """

    noise: int
    categories: Sequence[int]
    continuous: int

    @property
    def dim(self) -> int:
        """The dimension Z of the latents."""
        return self.noise + sum(self.categories) + self.continuous

    @property
    def entropy(self) -> dict[str, float]:
        """The entropies H(c) in nats of all categorical codes and of all continuous codes, whose density is ½."""
        return {
            "categorical": sum(math.log(k) for k in self.categories),
            "continuous": self.continuous * math.log(2),
        }

    def draw(self, n: int, random: torch.Generator) -> Tensor:
        """Return latents [n, Z] on the generator's device."""
        device = random.device
        uniform = torch.empty(n, self.noise + self.continuous, device=device).uniform_(-1, 1, generator=random)
        drawn = [torch.randint(k, (n,), device=device, generator=random) for k in self.categories]
        return self.pack(uniform[:, : self.noise], drawn, uniform[:, self.noise :])

    def keyed(self, seed: int, start: int, count: int) -> Tensor:
        """Return latents ``start … start + count - 1`` of the sequence of ``seed``, [count, Z], on the CPU."""
        return randomness.rows(self.draw, seed, "sample", start, count)

    def pack(self, noise: Tensor, categories: Sequence[Tensor], continuous: Tensor) -> Tensor:
        """Return latents [N, Z] of noise [N, ...], categories, each long [N], and continuous codes [N, ...]."""
        hot = [one_hot(c, k).to(noise.dtype) for c, k in zip(categories, self.categories, strict=True)]
        return torch.cat([noise, *hot, continuous], 1)

    def unpack(self, latents: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        """Return noise [N, ...], categories, each long [N], and continuous codes [N, ...] of latents [N, Z]."""
        noise, *hot, continuous = latents.split([self.noise, *self.categories, self.continuous], 1)
        return noise, [part.argmax(1) for part in hot], continuous


def negative_log_categorical(logits: Sequence[Tensor], categories: Sequence[Tensor]) -> Tensor:
    """Return -log Q(c|x) of categorical codes, averaged over the batch and summed over codes, in nats.

    Args:
        logits: [N, K] of each code, of which there is at least one.
        categories: long [N] of each code.
    """
    terms = [cross_entropy(one, c) for one, c in zip(logits, categories, strict=True)]
    return torch.stack(terms).sum()


def negative_log_normal(mean: Tensor, values: Tensor) -> Tensor:
    """Return -log N(c; μ, 1) of continuous codes [N, C], averaged over the batch and summed over codes, in nats."""
    return (0.5 * (math.log(2 * math.pi) + (values - mean).square())).sum(1).mean()
