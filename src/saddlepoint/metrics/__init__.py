"""Feature extractors, metrics, and the score cards that state how each figure was computed.

An evaluation is one pass (:mod:`saddlepoint.metrics.evaluation`): samples are converted to 8 bits, then to features,
from which every metric is computed. Each metric has its own file and is listed in :mod:`saddlepoint.metrics.catalogue`.
Torchmetrics modules for use in other programs are in :mod:`saddlepoint.metrics.modules`.
"""
