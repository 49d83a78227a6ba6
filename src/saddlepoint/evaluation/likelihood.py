"""The judge of likelihoods."""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor

from saddlepoint.data import DataModule
from saddlepoint.evaluation.base import HeldOutJudge, Settings
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.systems.capabilities import HasLikelihood
from saddlepoint.systems.game import Game

NAMES = ("elbo", "nll", "bits_per_dim")


class LikelihoodJudge(HeldOutJudge):
    """Scores the log-likelihood of held-out samples, in nats per sample.

    - ``elbo``: the evidence lower bound, or the exact log-likelihood if the system computes it;
    - ``nll``: the negative of the importance-weighted bound with ``importance`` samples, or of the exact
      log-likelihood;
    - ``bits_per_dim``: the better of the two, negated and divided by log 2 and the number of values, for binarised
      data.

    A card states the bound and the binarisation; scores that differ in these are not comparable.

    Args:
        data: the data set whose held-out split is used.
        settings: of the evaluation; ``nll`` is computed if ``importance`` > 0 or the log-likelihood is exact.
    """

    def __init__(self, data: DataModule, settings: Settings) -> None:
        super().__init__(data, settings)
        self.binarisation: str | None = getattr(data.source, "binarisation", None)
        self.wanted = [name for name in NAMES if settings.metrics is None or name in settings.metrics]
        self.monitor = "elbo" if "elbo" in self.wanted else None

    def score(self, system: Game) -> list[ScoreCard]:
        """Return the cards."""
        k, cards = self.settings.importance, []
        values, kind, size, seconds = self._bound(system, 0)
        if "elbo" in self.wanted:
            cards.append(self._card(system, "elbo", values, kind, seconds))
        if k or kind == "exact":
            if k:
                values, kind, size, seconds = self._bound(system, k)
            if "nll" in self.wanted:
                cards.append(self._card(system, "nll", -values, kind, seconds, k))
        if "bits_per_dim" in self.wanted and self.binarisation is not None:
            cards.append(self._card(system, "bits_per_dim", -values / (size * math.log(2)), kind, seconds, k))
        return cards

    def _bound(self, system: Game, importance: int) -> tuple[Tensor, str, int, float]:
        """Return the log-likelihoods [N], their kind, the number of values per sample, and the time in seconds."""
        assert isinstance(system, HasLikelihood)
        begin, parts = time.perf_counter(), []
        for index, batch in enumerate(self.batches()):
            samples = batch.samples.to(system.device)
            parts.append(system.log_likelihood(samples, importance, self.settings.seed + index))
        nats = torch.cat([part.nats.cpu() for part in parts])
        return nats, parts[0].kind, parts[0].values, time.perf_counter() - begin

    def _card(
        self, system: Game, metric: str, values: Tensor, kind: str, seconds: float, importance: int = 0
    ) -> ScoreCard:
        beside = {"importance": float(importance)} if importance else None
        about = {"bound": kind, "binarisation": self.binarisation, "beside": beside}
        return self.card(system, metric, values, seconds, **about)
