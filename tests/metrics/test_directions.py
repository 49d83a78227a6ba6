"""The directions of scores by name."""

from __future__ import annotations

from saddlepoint.metrics.catalogue import METRICS
from saddlepoint.metrics.directions import LOWER_IS_BETTER


def test_every_metric_has_a_direction() -> None:
    names = {name for metric in METRICS.values() for name in (metric.name, *metric.also)}
    assert len(names) > 15
    assert names <= LOWER_IS_BETTER.keys()
