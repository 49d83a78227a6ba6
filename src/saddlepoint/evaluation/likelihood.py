"""The judge of likelihoods."""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor

from saddlepoint.data import DataModule
from saddlepoint.evaluation.base import HeldOutJudge, Settings
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.systems.capabilities import HasLikelihood, LogLikelihood
from saddlepoint.systems.game import Game

NAMES = ("elbo", "nll", "bits_per_dim")


class LikelihoodJudge(HeldOutJudge):
    """Scores the log-likelihood of held-out samples, in nats per sample.

    - ``elbo``: the evidence lower bound;
    - ``nll``: the negative of the exact log-likelihood, or of the importance-weighted bound of ``importance`` samples;
    - ``bits_per_dim``: the best of these, negated and divided by log 2 and the number of values, for probabilities of
      discrete pixels: of binary images, or of 8-bit images under a model of 256 intensities.

    A card states the bound and the binarisation, or that the value is a density; scores that differ in these are not
    comparable.

    Args:
        data: the data set whose held-out split is used.
        settings: of the evaluation; a bound's ``nll`` is computed if ``importance`` > 0.
        exact: whether the system computes the log-likelihood itself, not a bound.
    """

    def __init__(self, data: DataModule, settings: Settings, exact: bool) -> None:
        super().__init__(data, settings)
        self.exact = exact
        self.binarisation: str | None = getattr(data.source, "binarisation", None)
        available = NAMES[1:] if exact else NAMES
        self.wanted = [name for name in available if settings.metrics is None or name in settings.metrics]
        self.monitor = self.wanted[0] if self.wanted and self.wanted[0] == available[0] else None
        self.names = [name for name in self.wanted if name != "nll" or exact or settings.importance]

    def score(self, system: Game) -> list[ScoreCard]:
        """Return the cards."""
        k, cards = 0 if self.exact else self.settings.importance, []
        values, about, seconds = self._bound(system, 0)
        if "elbo" in self.wanted:
            cards.append(self._card(system, "elbo", values, about, seconds))
        if k:
            values, about, seconds = self._bound(system, k)
        if "nll" in self.wanted and (k or self.exact):
            cards.append(self._card(system, "nll", -values, about, seconds, k))
        if "bits_per_dim" in self.wanted and about.levels is not None:
            bits = -values / (about.values * math.log(2))
            cards.append(self._card(system, "bits_per_dim", bits, about, seconds, k))
        return cards

    def _bound(self, system: Game, importance: int) -> tuple[Tensor, LogLikelihood, float]:
        """Return the log-likelihoods [N], those of one batch, and the time in seconds."""
        assert isinstance(system, HasLikelihood)
        begin, parts = time.perf_counter(), []
        for index, batch in enumerate(self.batches()):
            samples = batch.samples.to(system.device)
            parts.append(system.log_likelihood(samples, importance, self.settings.seed + index, self.settings.ema))
        about = next((part for part in parts if part.levels is None), parts[0])  # one gray image is enough
        return torch.cat([part.nats.cpu() for part in parts]), about, time.perf_counter() - begin

    def _card(
        self, system: Game, metric: str, values: Tensor, about: LogLikelihood, seconds: float, importance: int = 0
    ) -> ScoreCard:
        beside = {"importance": float(importance)} if importance else None
        binarisation = self.binarisation
        if about.density:
            binarisation = "none, density"
        elif binarisation is None and about.levels is not None:
            binarisation = f"none, {about.levels} intensities"
        return self.card(system, metric, values, seconds, bound=about.kind, binarisation=binarisation, beside=beside)
