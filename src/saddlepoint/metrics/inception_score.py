"""Inception Score (Salimans et al. 2016, arXiv:1606.03498, section 4): exp E_x KL(p(y|x) ‖ p(y)).

Between 1 (the classifier's prediction is the same for every image) and K (each prediction is certain, and all classes
are equally frequent). Its limitations (Barratt and Sharma 2018, arXiv:1801.01973): a high score does not prove realism;
it depends on the number of samples and of splits, and on small changes of the classifier's weights; it detects neither
collapse within a class nor memorised images; and it means nothing if the classifier was trained on other data than the
generator's.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor

from saddlepoint.metrics.base import Figure, Metric, Sample
from saddlepoint.metrics.features.base import FeatureExtractor
from saddlepoint.metrics.rows import permutation


def inception_score(logits: Tensor, splits: int = 10) -> tuple[float, float]:
    """Return the score's mean and standard deviation over ``splits`` consecutive parts, computed in float64.

    Args:
        logits: unnormalized log p(y|x), [N, K], in an order that does not depend on the class.
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
    """The score over seeded random splits, which do not depend on the order of sampling."""

    name = "is"
    needs = frozenset({"logits"})

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Return the real split's own score, as a target."""
        assert real.logits is not None
        return {"train": torch.tensor(self._score(real.logits), dtype=torch.float64)}

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return the score; it does not depend on the reference."""
        assert sample.logits is not None
        mean, deviation = self._score(sample.logits)
        splits = min(self.splits, len(sample.logits))
        interval = (mean - deviation, mean + deviation)
        return [Figure(extractor.score_name(self.name), mean, len(sample.logits), splits, interval)]

    def _score(self, logits: Tensor) -> tuple[float, float]:
        order = permutation(len(logits), self.seed, self.name)
        return inception_score(logits[order], min(self.splits, len(logits)))
