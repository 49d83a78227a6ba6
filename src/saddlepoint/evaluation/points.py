"""The judge of points on a mixture of Gaussians."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from saddlepoint.evaluation.base import Judge, circumstances
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.metrics.evaluation import evaluate_vectors
from saddlepoint.systems.capabilities import Generates
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
    """

    monitor = "mixture_kl"

    def __init__(
        self, means: Tensor, std: float, reference: str, n: int = POINTS, seed: int = 0, ema: bool = True
    ) -> None:
        self.means, self.std, self.reference = means, std, reference
        self.n, self.seed, self.ema = n, seed, ema

    def score(self, system: Game) -> list[ScoreCard]:
        """Return the scores of n sampled points."""
        assert isinstance(system, Generates)
        points = system.sample(self.n, seed=self.seed, ema=self.ema).cpu()
        about = circumstances(system, self.ema)
        return evaluate_vectors(points, self.means, self.std, self.reference, self.seed, **about)

    def at(self, seed: int) -> PointJudge:
        """Return a judge with the same mixture and another seed."""
        return PointJudge(self.means, self.std, self.reference, self.n, seed, self.ema)

    def state(self) -> dict[str, Any]:
        """Return the mixture and the number of points."""
        return {
            "kind": "points",
            "n": self.n,
            "means": self.means,
            "std": self.std,
            "reference": self.reference,
        }
