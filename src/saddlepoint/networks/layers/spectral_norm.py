"""Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks", arXiv:1802.05957."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils import parametrize

from saddlepoint.networks.layers.precision import at_least_float32, full_precision

WARM_UP = 15
"""Power iterations at construction. With a random u, normalized weights would be several times too large at first."""

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
    """Return a copy of the vector if the forward pass is being compiled, else the vector.

    Otherwise the compiler would store the old and the new u in the same memory, and the backward pass would read values
    of a later forward pass. The compiler cannot remove this copy, since it is a custom operator.
    """
    compiled = torch.compiler.is_compiling() and not torch.compiler.is_exporting()
    return _copy(vector) if compiled else vector


class SpectralNorm(nn.Module):
    """A parametrization W → W / σ(W) with one power iteration per forward pass in training mode (algorithm 1).

    With W as a matrix [outputs, inputs · kernel]:

        v ← Wᵀu / ‖Wᵀu‖,  u ← Wv / ‖Wv‖,  σ = uᵀWv

    u and v are constants in the backward pass, so ∂σ/∂W = u vᵀ; second derivatives are supported. The product Wv is
    computed once for both u and σ. In evaluation mode and while ``frozen`` is true, σ is computed in the same way but u
    is not updated. Under ``torch.nn.utils.parametrize.cached()`` all forward passes share one iteration.

    Attributes:
        u: estimate of the left singular vector, [outputs].
        frozen: whether u is frozen (see :func:`saddlepoint.networks.layers.statistics.frozen_statistics`).
    """

    u: Tensor

    def __init__(self, weight: Tensor, transposed: bool = False) -> None:
        """Initialize u by power iterations from a random vector.

        Args:
            weight: [outputs, inputs, ...], or [inputs, outputs, ...] if ``transposed``.
            transposed: whether the weight is that of a transposed convolution.
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
        """Return ``weight`` divided by the estimate of its largest singular value."""
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
            weight = weight.permute(0, 2, 3, 1)  # columns in memory order, without a copy; σ is independent of it
        return weight.flatten(1)


class ImprovedSpectralNorm(SpectralNorm):
    """A parametrization W → σ(W_init) W / σ(W), which keeps the largest singular value that W had at first.

    Lee et al. 2022, "ViTGAN: Training GANs with Vision Transformers", arXiv:2107.04589. u is initialized to
    the singular vector itself, so that the initial weight is not changed.

    Attributes:
        scale: σ(W_init), a scalar.
    """

    scale: Tensor

    def __init__(self, weight: Tensor, transposed: bool = False) -> None:
        super().__init__(weight, transposed)
        with torch.no_grad():
            left, values, _ = torch.linalg.svd(self._matrix(weight), full_matrices=False)
        self.u.copy_(left[:, 0])
        self.register_buffer("scale", values[0].clone())

    def forward(self, weight: Tensor) -> Tensor:
        """Return ``weight``, scaled to the initial value of its largest singular value."""
        return super().forward(weight) * self.scale.to(weight.dtype)


def apply_spectral_norm(module: Module, kind: type[SpectralNorm] = SpectralNorm) -> Module:
    """Apply :class:`SpectralNorm` to every convolution, linear layer and embedding, in place, and return the module.

    Layers with a parametrized weight are skipped.

    Args:
        module: a network.
        kind: class of the parametrization.
    """
    for layer in list(module.modules()):
        if isinstance(layer, NORMALISED) and not parametrize.is_parametrized(layer, "weight"):
            norm = kind(layer.weight, transposed=isinstance(layer, TRANSPOSED))
            parametrize.register_parametrization(layer, "weight", norm)
    return module
