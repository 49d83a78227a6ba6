"""Precision, recall, density and coverage, as a torchmetrics module."""

from __future__ import annotations

from torch import Tensor

from saddlepoint.metrics.manifold import compare
from saddlepoint.metrics.modules.base import EqualSetsMetric


class PrecisionRecallDensityCoverage(EqualSetsMetric):
    r"""Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020, arXiv:2002.09797).

    Let B(x, k) be the ball around x that extends to its k-th nearest neighbour in its own set, with N generated samples
    y and M real samples x.

    .. math::
        \text{precision} &= \tfrac{1}{N} \sum_y 1[y \in \cup_x B(x, 3)], \quad
        \text{recall} = \tfrac{1}{M} \sum_x 1[x \in \cup_y B(y, 3)] \\
        \text{density} &= \tfrac{1}{5 N} \sum_y \sum_x 1[y \in B(x, 5)], \quad
        \text{coverage} = \tfrac{1}{M} \sum_x 1[\exists y \in B(x, 5)]

    They equal the score cards' ``precision_<features>`` and so on.

    Args:
        features: the number of features F of the rows that :meth:`update` is given, or a prepared extractor, for
            which it is given images.
        seed: seeds the choice of a subset of the larger of the two sets; as many real as generated samples are used.
        reset_real_features: whether :meth:`reset` discards the real samples too.
        **kwargs: of :class:`torchmetrics.Metric`.

    Raises:
        ValueError: rows do not have F features; or on :meth:`compute`, there are fewer than two samples of a kind.

    Example:
        >>> import torch
        >>> from saddlepoint.metrics.modules import PrecisionRecallDensityCoverage
        >>> metric = PrecisionRecallDensityCoverage(features=1)
        >>> metric.update(torch.arange(10.0)[:, None], real=True)
        >>> metric.update(torch.arange(10.0)[:, None] / 2 + 7, real=False)
        >>> {name: round(float(value), 2) for name, value in metric.compute().items()}
        {'precision': 1.0, 'recall': 0.4, 'density': 0.64, 'coverage': 0.5}
    """

    higher_is_better = True

    def compute(self) -> dict[str, Tensor]:
        """Return ``precision``, ``recall`` and ``coverage`` in [0, 1], and ``density`` >= 0: float64 scalars."""
        real, fake = self.equal_sets()
        return {name: self.result(value) for name, value in compare(real, fake, device=self.device)._asdict().items()}
