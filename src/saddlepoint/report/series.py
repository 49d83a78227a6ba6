"""Curves for the page: the series of a run's history, thinned so that peaks stay."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from saddlepoint.metrics.cards import REAL
from saddlepoint.report.runs import Run

MOST_POINTS = 240
"""Points of a curve. The page is about 1,000 px wide, and half as many pairs of extremes fill it."""
AXES = ("images_seen", "generator_updates", "seconds")


def curves(run: Run) -> dict[str, dict[str, list[float]]]:
    """Return the series of a run by name.

    Returns:
        For each series the lists ``images``, ``updates``, ``hours`` and ``values``, all of the same length. The hours
        are those of training, without evaluations.
    """
    places: dict[str, list[int]] = {}  # of each series, the rows that have it
    for index, row in enumerate(run.history):
        for name, value in row.items():
            if _is_number(value):
                places.setdefault(name, []).append(index)
    found = {}
    # The page has the values of real images from the score cards.
    for name in [name for name in places if name not in AXES and not name.startswith(REAL)]:
        rows = [run.history[index] for index in places[name]]
        rows = [rows[index] for index in thinned([row[name] for row in rows], MOST_POINTS)]
        found[name] = {
            "images": [_axis(row, "images_seen") for row in rows],
            "updates": [_axis(row, "generator_updates") for row in rows],
            "hours": [rounded(_axis(row, "seconds") / 3600) for row in rows],
            "values": [rounded(row[name]) for row in rows],
        }
    return found


def _is_number(value: Any) -> bool:
    """Whether a value from JSON is a finite number."""
    return (type(value) is float or type(value) is int) and -math.inf < value < math.inf


def _axis(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    return value if value is not None and _is_number(value) else 0


def rounded(value: float) -> float:
    """Round to five significant digits, which is more than a curve shows."""
    return float(f"{value:.5g}")


def thinned(values: Sequence[float], most: int) -> list[int]:
    """Return the indices of at most ``most`` values, in order: the smallest and the largest of equal stretches.

    The first and the last value are always kept, and so are the smallest and the largest of all.

    >>> thinned([0, 1, 2, 9, 4, 5, 6, -3, 8, 7], 6)
    [0, 1, 3, 7, 8, 9]

    Args:
        values: the values.
        most: at least 4, and even.
    """
    n = len(values)
    if n <= most:
        return list(range(n))
    stretches = (most - 2) // 2
    kept = {0, n - 1}
    for i in range(stretches):
        start, end = 1 + i * (n - 2) // stretches, 1 + (i + 1) * (n - 2) // stretches
        stretch = values[start:end]
        kept |= {start + stretch.index(min(stretch)), start + stretch.index(max(stretch))}
    return sorted(kept)
