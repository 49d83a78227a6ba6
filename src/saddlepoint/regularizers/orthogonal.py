"""Orthogonal regularization.

Brock et al. 2017, "Neural Photo Editing with Introspective Adversarial Networks", arXiv:1609.07093; Brock et al. 2019,
"Large Scale GAN Training for High Fidelity Natural Image Synthesis", arXiv:1809.11096.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from saddlepoint.networks.layers.matrices import WEIGHTED, weight_matrix
from saddlepoint.networks.layers.precision import at_least_float32, full_precision
from saddlepoint.regularizers.base import Regularizer
from saddlepoint.schedules import Weight
from saddlepoint.turns import Turn


class Orthogonal(Regularizer):
    """Orthogonal regularization of a network's convolutions and linear layers.

    For weights W as matrices [outputs, inputs · kernel], the penalty is the sum over layers of

    - ``relaxed`` (Brock et al. 2019, section 3.1): β ‖W Wᵀ ⊙ (1 - I)‖_F², which does not constrain the norms of rows;
    - ``strict`` (Brock et al. 2017, section 3.3): β Σ |W Wᵀ - I|.

    W is the matrix of :func:`~saddlepoint.networks.layers.matrices.weight_matrix`: with spectral normalization, the
    unnormalized weight, as in the papers' code.

    Args:
        weight: β; 1e-4 in Brock et al. 2019, 1e-3 in the code of Brock et al. 2017.
        player: player to whose loss the penalty is added; the generator in Brock et al. 2019.
        form: ``relaxed`` or ``strict``.
        knobs: see :class:`~saddlepoint.regularizers.base.Regularizer`.
    """

    def __init__(
        self,
        weight: Weight = 1e-4,
        player: str = "generator",
        form: Literal["relaxed", "strict"] = "relaxed",
        **knobs: Any,
    ) -> None:
        super().__init__(weight, player, **knobs)
        self.form = form

    def penalty(self, turn: Turn) -> Tensor:
        """Return the weighted sum over the layers, a scalar."""
        total = turn.loss.new_zeros((), dtype=torch.float32)
        with full_precision(turn.loss.device):
            for module in turn.networks[self.network].modules():
                if isinstance(module, WEIGHTED):
                    total = total + getattr(self, f"_{self.form}")(at_least_float32(weight_matrix(module)))
        return self.weight * total

    @staticmethod
    def _relaxed(filters: Tensor) -> Tensor:
        norms = filters.square().sum(1)
        smaller = filters if len(filters) <= filters.shape[1] else filters.t()  # ‖W Wᵀ‖_F = ‖Wᵀ W‖_F
        return (smaller @ smaller.t()).square().sum() - norms.square().sum()

    @staticmethod
    def _strict(filters: Tensor) -> Tensor:
        products = filters @ filters.t()
        return (products - torch.eye(len(products), device=products.device, dtype=products.dtype)).abs().sum()
