"""Zhao et al. 2017, "Energy-based Generative Adversarial Network", arXiv:1609.03126."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.functional import normalize

from saddlepoint import ranks
from saddlepoint.networks.layers.precision import at_least_float32, full_precision
from saddlepoint.regularizers.base import Regularizer
from saddlepoint.schedules import Weight
from saddlepoint.turns import Turn


class PullingAway(Regularizer):
    """The pulling-away term, the mean squared cosine similarity of generated samples' features (section 2.4).

    f(S) = 1/(N(N-1)) Σ_i Σ_{j≠i} (S_iᵀS_j / (‖S_i‖‖S_j‖))², in [0, 1], where S are the critic's features of the
    generated samples: the code of an autoencoder, or the last layer before the logits.

    Args:
        weight: factor of the term, 0.1 in the paper.
        player: player to whose loss the term is added.
        knobs: see :class:`~saddlepoint.regularizers.base.Regularizer`.
    """

    batch_coupled = True

    def __init__(self, weight: Weight = 0.1, player: str = "generator", **knobs: Any) -> None:
        super().__init__(weight, player, **knobs)

    def penalty(self, turn: Turn) -> Tensor:
        """Return the weighted term over the samples of all ranks, a scalar; 0 for a single sample.

        Raises:
            UserError: the turn lacks the critic's output on generated samples.
        """
        self.judged(turn, "fake")
        features = ranks.gather(at_least_float32(turn.outputs["fake"].features).flatten(1))
        directions = normalize(features, dim=1)
        n = len(directions)
        with full_precision(directions.device):
            cosines = directions @ directions.t()
        return self.weight * cosines.square().fill_diagonal_(0.0).sum() / max(n * (n - 1), 1)
