"""Curves for the page: the series of a run's history, thinned so that peaks stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
    names = dict.fromkeys(key for row in run.history for key in row if key not in AXES)
    found = {}
    for name in names:
        rows = [row for row in run.history if _is_number(row.get(name))]
        rows = [rows[index] for index in thinned([row[name] for row in rows], MOST_POINTS)]
        if rows:
            found[name] = {
                "images": [_axis(row, "images_seen") for row in rows],
                "updates": [_axis(row, "generator_updates") for row in rows],
                "hours": [rounded(_axis(row, "seconds") / 3600) for row in rows],
                "values": [rounded(row[name]) for row in rows],
            }
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _axis(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    return value if _is_number(value) and value is not None else 0


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
        inside = range(1 + i * (n - 2) // stretches, 1 + (i + 1) * (n - 2) // stretches)
        kept |= {min(inside, key=lambda j: values[j]), max(inside, key=lambda j: values[j])}
    return sorted(kept)
