"""The judge of points on a mixture of Gaussians."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from saddlepoint.evaluation.base import Judge, circumstances
from saddlepoint.evaluation.drawing import RUNNING, Drawing
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.metrics.evaluation import evaluate_vectors
from saddlepoint.systems.game import Game

POINTS = 2500
"""Number of samples in PacGAN's protocol."""
NAMES = ("modes", "high_quality", "reverse_kl", "mixture_kl")
"""Names of the scores."""


class PointJudge(Judge):
    """Scores points on a mixture of Gaussians.

    Args:
        means: [M, D].
        std: of every mode.
        reference: the mixture's name.
        n: number of points.
        seed: of the samples.
        ema: evaluate the averaged weights, if there are any.
        drawing: how samples are drawn.
    """

    monitor = "mixture_kl"
    names = NAMES

    def __init__(
        self,
        means: Tensor,
        std: float,
        reference: str,
        n: int = POINTS,
        seed: int = 0,
        ema: bool = True,
        drawing: Drawing = RUNNING,
    ) -> None:
        self.means, self.std, self.reference = means, std, reference
        self.n, self.seed, self.ema, self.drawing = n, seed, ema, drawing

    def score(self, system: Game) -> list[ScoreCard]:
        """Return the scores of n sampled points."""
        points = torch.cat(list(self.drawing.blocks(system, self.n, self.seed, self.ema))).cpu()
        about = circumstances(system, self.ema, self.drawing)
        return evaluate_vectors(points, self.means, self.std, self.reference, self.seed, **about)

    def at(self, seed: int) -> PointJudge:
        """Return a judge with the same mixture and another seed."""
        return PointJudge(self.means, self.std, self.reference, self.n, seed, self.ema, self.drawing)

    def drawn(self, drawing: Drawing) -> PointJudge:
        """Return a judge with the same mixture of points that are drawn in another way."""
        return PointJudge(self.means, self.std, self.reference, self.n, self.seed, self.ema, drawing)

    def state(self) -> dict[str, Any]:
        """Return the mixture and the number of points."""
        return {
            "kind": "points",
            "n": self.n,
            "means": self.means,
            "std": self.std,
            "reference": self.reference,
        }
