"""Inception Score (Salimans et al. 2016, arXiv:1606.03498, section 4): exp E_x KL(p(y|x) ‖ p(y)).

Between 1 (every image looks alike to the classifier) and K (each is one class for sure, and all classes are equally
frequent). Its faults belong beside it: a high score is no proof of realism; the number of samples and of splits moves
it; it sees neither collapse inside a class nor memorised images; small changes of the classifier's weights move it; and
a classifier that was not trained on the generator's data has no say about it (Barratt and Sharma 2018).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from saddlepoint.metrics.base import Figure, Metric, Sample, permutation

if TYPE_CHECKING:
    from saddlepoint.metrics.features.base import FeatureExtractor


def inception_score(logits: Tensor, splits: int = 10) -> tuple[float, float]:
    """Return the score's mean and standard deviation over ``splits`` consecutive parts, computed in float64.

    Args:
        logits: unnormalised log p(y|x), [N, K], in an order that has nothing to do with their class.
        splits: number of parts, in [1, N].

    >>> inception_score(torch.zeros(10, 4), splits=1)
    (1.0, 0.0)
    """
    log_p = logits.double().log_softmax(1)
    bounds = [len(log_p) * i // splits for i in range(splits + 1)]
    scores = []
    for start, stop in itertools.pairwise(bounds):
        part = log_p[start:stop]
        log_marginal = part.logsumexp(0) - torch.tensor(float(len(part)), dtype=torch.float64).log()
        p = part.exp()
        # 0 log 0 = 0: a logit of -inf gives p = 0 and log p = -inf.
        divergence = torch.where(p > 0, p * (part - log_marginal), 0.0).sum(1).mean()
        scores.append(divergence.exp())
    stacked = torch.stack(scores)
    return float(stacked.mean()), float(stacked.std(correction=0))


class InceptionScore(Metric):
    """The score over seeded splits, so that class by class sampling cannot change it."""

    name = "is"
    lower_is_better = False
    needs = frozenset({"logits"})

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Keep the real split's own score: the mark to reach."""
        assert real.logits is not None
        return {"train": torch.tensor(self._score(real.logits), dtype=torch.float64)}

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return the score; it knows no reference."""
        assert sample.logits is not None
        mean, deviation = self._score(sample.logits)
        splits = min(self.splits, len(sample.logits))
        interval = (mean - deviation, mean + deviation)
        return [Figure(extractor.score_name(self.name), mean, len(sample.logits), splits, interval)]

    def _score(self, logits: Tensor) -> tuple[float, float]:
        order = permutation(len(logits), self.seed, self.name)
        return inception_score(logits[order], min(self.splits, len(logits)))
