"""Logs the largest singular values of the weights, and the gains of self-attention layers."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from saddlepoint.callbacks.periodic import OverBudget
from saddlepoint.networks.layers.attention import SelfAttention
from saddlepoint.networks.layers.matrices import WEIGHTED, weight_matrix
from saddlepoint.systems.game import Game
from saddlepoint.tracking.record import RunRecord


class SingularValues(OverBudget):
    """Logs the largest singular values of every weight matrix, which rise before a network collapses.

    Brock et al. 2019, "Large Scale GAN Training for High Fidelity Natural Image Synthesis", arXiv:1809.11096, section
    4.1, monitor the first three of each layer. The weights of convolutions, linear layers and embeddings are the
    matrices of :func:`~saddlepoint.networks.layers.matrices.weight_matrix`. The gains γ of self-attention layers are
    logged too.

    Args:
        record: the run's record.
        top: number of singular values of each weight.
        every_images: images seen between two rows; by default, a tenth of the budget.
    """

    def __init__(self, record: RunRecord, top: PositiveInt = 3, every_images: PositiveInt | None = None) -> None:
        super().__init__(every_images)
        self.record = record
        self.top = top

    def fire(self, trainer: pl.Trainer, system: Game) -> None:
        """Log the values of all networks that are trained."""
        if not trainer.is_global_zero:
            return
        row: dict[str, float] = {}
        for role, network in system.networks.items():
            for name, layer in network.named_modules():
                if isinstance(layer, (*WEIGHTED, nn.Embedding)):
                    for index, value in enumerate(largest(weight_matrix(layer), self.top).tolist(), start=1):
                        row[f"singular_values_{index}/{role}.{name}"] = value
                if isinstance(layer, SelfAttention):
                    row[f"attention_gain/{role}.{name}"] = layer.gain.item()
        self.record.log(system.progress, row)


@torch.no_grad()
def largest(matrix: Tensor, count: int) -> Tensor:
    """Return up to ``count`` singular values of a matrix, in descending order, float64.

    They are the square roots of the eigenvalues of the smaller of W Wᵀ and Wᵀ W.
    """
    wide = matrix.cpu().double()  # MPS has no float64
    gram = wide @ wide.t() if len(wide) <= wide.shape[1] else wide.t() @ wide
    return torch.linalg.eigvalsh(gram).clamp_min(0).flip(0)[:count].sqrt()
