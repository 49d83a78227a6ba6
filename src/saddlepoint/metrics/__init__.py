"""What a generator is worth: features, the metrics on them, and the cards that say how each number came about.

One pass does it all (:mod:`saddlepoint.metrics.evaluation`): samples → :func:`~saddlepoint.metrics.quantise.quantise` →
extractor, once → every metric. A metric is one file and one line in :mod:`saddlepoint.metrics.catalogue`.
"""
