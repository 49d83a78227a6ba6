"""Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks", arXiv:1802.05957."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils import parametrize

from saddlepoint.networks.layers.precision import at_least_float32, full_precision

WARM_UP = 15
"""Power iterations at construction: a random u would make the first steps' weights too large by several times."""

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
NORMALISED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.Embedding, *TRANSPOSED)

Module = TypeVar("Module", bound=nn.Module)


@torch.library.custom_op("saddlepoint::copy", mutates_args=())
def _copy(vector: Tensor) -> Tensor:
    return vector.clone()


@_copy.register_fake
def _(vector: Tensor) -> Tensor:
    return torch.empty_like(vector)


def _apart(vector: Tensor) -> Tensor:
    """Return a copy of the vector where the forward pass is compiled.

    The compiler would let the old and the new u share the buffer's memory, and the backward pass would then read what a
    later forward has written. It cannot remove this copy, whose operation it does not know.
    """
    compiled = torch.compiler.is_compiling() and not torch.compiler.is_exporting()
    return _copy(vector) if compiled else vector


class SpectralNorm(nn.Module):
    """A parametrization W → W / σ(W) by one power iteration a training forward (algorithm 1).

    With W as a matrix [outputs, inputs · kernel]:

        v ← Wᵀu / ‖Wᵀu‖,  u ← Wv / ‖Wv‖,  σ = uᵀWv

    u and v are constants to autograd, so ∂σ/∂W = u vᵀ, and gradients of gradients work. The product Wv serves
    both u and σ: two passes over W where three are usual. Only u is kept. In eval mode and while ``frozen`` the same σ
    is computed but u stays. Under ``torch.nn.utils.parametrize.cached()`` all forwards share one iteration.

    Attributes:
        u: the left singular vector's estimate, [outputs].
        frozen: leave u as it is (see :func:`saddlepoint.networks.layers.statistics.frozen_statistics`).
    """

    u: Tensor

    def __init__(self, weight: Tensor, transposed: bool = False) -> None:
        """Draw u from torch's generator and warm it up.

        Args:
            weight: [outputs, inputs, ...], or [inputs, outputs, ...] if ``transposed``.
            transposed: the weight is a transposed convolution's.
        """
        super().__init__()
        self.transposed = transposed
        self.frozen = False
        with torch.no_grad():
            matrix = self._matrix(weight)
            u = normalize(torch.randn(len(matrix), dtype=matrix.dtype).to(matrix.device), dim=0)
            for _ in range(WARM_UP):
                u = normalize(matrix.mv(matrix.t().mv(u)), dim=0)
        self.register_buffer("u", u)

    def forward(self, weight: Tensor) -> Tensor:
        """Return ``weight`` divided by the estimate of its largest singular value, in its shape and dtype."""
        with full_precision(weight.device):
            matrix = self._matrix(weight)
            with torch.no_grad():
                v = normalize(matrix.t().mv(_apart(self.u).to(matrix.dtype)), dim=0)
            Wv = matrix.mv(v)
            u = normalize(Wv.detach(), dim=0)
            if self.training and not self.frozen:
                self.u.copy_(_apart(u))
            return weight / u.dot(Wv)

    def _matrix(self, weight: Tensor) -> Tensor:
        weight = at_least_float32(weight)
        if self.transposed:
            weight = weight.transpose(0, 1)
        if weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last):
            weight = weight.permute(0, 2, 3, 1)  # columns in memory order: no copy, and σ does not see their order
        return weight.flatten(1)


def apply_spectral_norm(module: Module) -> Module:
    """Normalise every convolution, linear layer and embedding within ``module`` once, in place, and return it."""
    for layer in list(module.modules()):
        if isinstance(layer, NORMALISED) and not parametrize.is_parametrized(layer, "weight"):
            norm = SpectralNorm(layer.weight, transposed=isinstance(layer, TRANSPOSED))
            parametrize.register_parametrization(layer, "weight", norm)
    return module
