from __future__ import annotations

from saddlepoint.metrics.catalogue import METRICS
from saddlepoint.metrics.directions import LOWER_IS_BETTER


def test_the_table_agrees_with_the_metrics() -> None:
    declared = {metric.name: metric.lower_is_better for metric in METRICS.values()}
    for metric in METRICS.values():
        declared |= metric.also
    assert declared == {name: LOWER_IS_BETTER[name] for name in declared}
    assert len(declared) > 15
