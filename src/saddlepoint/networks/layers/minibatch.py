"""Layers that compare the samples of a batch, so that a discriminator can detect mode collapse."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from saddlepoint.kinds import MinibatchKind
from saddlepoint.networks.layers.precision import at_least_float32

KERNELS, KERNEL_DIM = 100, 5
"""B and C of minibatch discrimination, as in the code published with Salimans et al. 2016."""


class MinibatchDiscrimination(nn.Module):
    """Minibatch discrimination: appends the similarity of each sample to the others in B learned projections.

    Salimans et al. 2016, "Improved Techniques for Training GANs", arXiv:1606.03498, section 3.2. With M_i = T f(x_i) in
    R^{B×C},

        o(x_i)_b = Σ_{j≠i} exp(-‖M_{i,b} - M_{j,b}‖₁)

    and the output for sample i is [f(x_i), o(x_i)]. The paper's sum includes j = i, a constant 1, which is omitted here
    as in the authors' code. Each rank compares only its own samples.

    Attributes:
        outputs: number of output features, F + B.
    """

    batch_coupled = True

    def __init__(self, features: int, kernels: int = KERNELS, kernel_dim: int = KERNEL_DIM) -> None:
        super().__init__()
        self.kernels, self.outputs = kernels, features + kernels
        self.project = nn.Linear(features, kernels * kernel_dim, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map features [N, F] to [N, F + B]."""
        M = at_least_float32(self.project(features)).unflatten(1, (self.kernels, -1))
        distances = (M[:, None] - M[None]).abs().sum(3)
        closeness = torch.exp(-distances).sum(1) - 1
        return torch.cat([features, closeness.to(features.dtype)], dim=1)


class MinibatchStdDev(nn.Module):
    """Appends the standard deviation over groups of samples, averaged over features and pixels, as constant maps.

    Karras et al. 2018, "Progressive Growing of GANs for Improved Quality, Stability, and Variation", arXiv:1710.10196,
    section 3. Each rank uses only its own samples. With groups of G of N samples, sample i is in a group with samples
    i + N / G, i + 2N / G, …

    Args:
        group: maximum number G of samples in a group; the largest divisor of the batch size up to it is used. None is
            the whole batch.
        channels: number of maps; each is an average over a part of the features.
    """

    batch_coupled = True

    def __init__(self, group: int | None = None, channels: int = 1) -> None:
        super().__init__()
        self.group, self.channels = group, channels

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, F] to [N, F + channels], or [N, C, H, W] to [N, C + channels, H, W]."""
        n = len(x)
        size = n if self.group is None else max(g for g in range(1, min(self.group, n) + 1) if n % g == 0)
        wide = at_least_float32(x).unflatten(0, (size, -1))  # [G, N / G, F, ...]
        variance = wide.var(0, correction=0)
        # The derivative of the square root is infinite at 0; where samples are equal, the gradient is set to 0.
        deviation = torch.where(variance > 0, variance, 1).sqrt().where(variance > 0, 0)
        maps = deviation.unflatten(1, (self.channels, -1)).flatten(2).mean(2).to(x.dtype)  # [N / G, channels]
        maps = maps[(..., *[None] * (x.dim() - 2))].expand(size, -1, -1, *x.shape[2:]).flatten(0, 1)
        return torch.cat([x, maps], dim=1)

    def extra_repr(self) -> str:
        """Show the size of the groups and the number of maps."""
        return f"group={self.group}, channels={self.channels}"


class Packing(nn.Module):
    """Concatenates m samples along the channels, so that the discriminator has one output for m samples.

    Lin et al. 2018, "PacGAN: The power of two samples in generative adversarial networks", arXiv:1712.04086, section 2.
    The last n mod m samples of a batch are dropped, with a warning the first time. The samples of a batch of fewer than
    m samples are repeated to fill one pack.
    """

    batch_coupled = True

    def __init__(self, m: int) -> None:
        super().__init__()
        self.m = m
        self.warned = False

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, D] to [N // m, m·D], or [N, C, H, W] to [N // m, m·C, H, W]."""
        n = len(x)
        if n % self.m and not self.warned:
            self.warned = True
            used = f"only the first {n - n % self.m} are used" if n > self.m else "the samples are repeated"
            warnings.warn(f"the batch size of {n} is not a multiple of the packing of {self.m}; {used}", stacklevel=2)
        if n < self.m:
            x = x[torch.arange(self.m, device=x.device) % n]
        return x[: len(x) - len(x) % self.m].unflatten(0, (-1, self.m)).flatten(1, 2)

    def extra_repr(self) -> str:
        """Show m."""
        return f"m={self.m}"


def make_packing(m: int) -> nn.Module:
    """Return a packing layer for m samples, or an identity if m is 1."""
    return Packing(m) if m > 1 else nn.Identity()


def make_minibatch(kind: MinibatchKind, features: int) -> tuple[nn.Module, int]:
    """Return the layer of a kind for feature vectors [N, F], and its number of output features."""
    if kind == "discrimination":
        layer = MinibatchDiscrimination(features)
        return layer, layer.outputs
    return (MinibatchStdDev(), features + 1) if kind == "stddev" else (nn.Identity(), features)
