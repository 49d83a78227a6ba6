"""The project's own metrics as torchmetrics modules, for use in any training loop, on any number of processes.

They compute the same figures as the score cards of :class:`~saddlepoint.metrics.evaluation.Evaluator`, by the same
functions. Their states, which are gathered from all processes by :meth:`compute`, are not part of a state dict.
"""

from saddlepoint.metrics.modules.frechet import FrechetFeatureDistance
from saddlepoint.metrics.modules.manifold import PrecisionRecallDensityCoverage
from saddlepoint.metrics.modules.mixture import MixtureCoverage
from saddlepoint.metrics.modules.near_copies import DuplicateRate, EffectiveSupport

__all__ = [
    "DuplicateRate",
    "EffectiveSupport",
    "FrechetFeatureDistance",
    "MixtureCoverage",
    "PrecisionRecallDensityCoverage",
]
