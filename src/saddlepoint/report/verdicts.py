"""Verdicts: paired differences between settings over common seeds, with intervals, corrected for their number."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from saddlepoint.metrics.cards import short
from saddlepoint.report.table import Column, Group, Table

FEWEST_SEEDS = 3
LEVEL = 0.05
EQUAL = 1e-9
"""Differences are equal if they deviate by at most this fraction of the largest score, as rounding can make them."""
RESAMPLES = 2_000


@dataclass(frozen=True)
class Verdict:
    """The comparison of two settings by one score.

    Attributes:
        column: the score's column in the table.
        metric: the score's title.
        first, second: the labels of the settings. If a difference is shown, ``first`` is the better one, or the lower
            one if it is not known which direction is better.
        seeds: the seeds that both have.
        difference: the mean of ``first`` minus ``second`` over these seeds; None without common seeds.
        student: Student's 95 % interval of the difference; None with fewer than three seeds, and if the differences of
            all seeds are equal, which leaves no variation to estimate it from.
        bootstrap: the 95 % percentile interval over resampled seeds; None likewise.
        p: the p-value of the paired t test; None likewise.
        corrected: the p-value corrected by Holm's method for all comparisons that were made.
        comparisons: the number of these comparisons.
        note: how the budgets differ, or None.
    """

    column: int
    metric: str
    first: str
    second: str
    seeds: Sequence[int]
    difference: float | None = None
    student: tuple[float, float] | None = None
    bootstrap: tuple[float, float] | None = None
    p: float | None = None
    corrected: float | None = None
    comparisons: int = 1
    note: str | None = None
    lower: bool | None = None

    @property
    def differs(self) -> bool:
        """Whether a difference is shown at the 5 % level, after the correction."""
        return self.corrected is not None and self.corrected < LEVEL

    def sentence(self) -> str:
        """Return the verdict as a sentence."""
        note = f" ({self.note})" if self.note else ""
        if self.student is None or self.difference is None or self.corrected is None:
            return f"{self.first} and {self.second}: {self._untested()}{note}"
        interval = f"[{short(self.student[0])}, {short(self.student[1])}]"
        figures = f"{signed(self.difference)} {interval}, {len(self.seeds)} seeds"
        if not self.differs:
            return f"{self.first} and {self.second}: no difference shown in {self.metric}: {figures}{note}"
        way = "lower" if self.difference < 0 else "higher"
        return f"{self.first} has a {way} {self.metric} than {self.second}: {figures}{note}"

    def _untested(self) -> str:
        """Return why there is no p-value."""
        n = len(self.seeds)
        if self.difference is not None and n >= FEWEST_SEEDS:
            equal = f"the difference in {self.metric} is {signed(self.difference)} for all {n} seeds"
            return f"{equal}, so no p-value can be computed"
        have = "no common seeds" if n == 0 else f"only {n} common seed{'s' if n > 1 else ''}"
        return f"too few seeds to compare {self.metric} ({have}, {FEWEST_SEEDS} needed)"


def signed(value: float) -> str:
    """Return a difference with its sign.

    >>> signed(3.14159), signed(-3.14159)
    ('+3.142', '-3.142')
    """
    return ("+" if value > 0 else "") + short(value)


def compare(table: Table, columns: Sequence[int], value: str = "last") -> list[Verdict]:
    """Compare all pairs of settings by the given scores.

    Args:
        table: the runs.
        columns: the indices of the scores.
        value: ``last`` or ``best``: which value of a run is compared. The best value of a run is chosen with the
            same samples that it is reported on, so it is slightly optimistic for every run.

    Returns:
        The verdicts, those with a difference first. P-values are corrected by Holm's method over all of them.
    """
    found = [
        _pair(table.columns[column], column, first, second, value)
        for column in columns
        for first, second in itertools.combinations(table.groups, 2)
        if first.over_seeds(column) is not None and second.over_seeds(column) is not None
    ]
    tested = [verdict.p for verdict in found if verdict.p is not None]
    corrected = iter(holm(tested))
    found = [
        verdict if verdict.p is None else replace(verdict, corrected=next(corrected), comparisons=len(tested))
        for verdict in found
    ]
    return sorted(map(_better_first, found), key=lambda verdict: (not verdict.differs, verdict.corrected is None))


def _pair(column: Column, index: int, first: Group, second: Group, value: str) -> Verdict:
    values = [group.by_seed(index, value) for group in (first, second)]
    seeds = sorted(values[0].keys() & values[1].keys())
    pairs = [(values[0][seed], values[1][seed]) for seed in seeds]
    verdict = Verdict(index, column.title, first.label, second.label, seeds, lower=column.lower)
    if not pairs:
        return verdict
    difference = math.fsum(a - b for a, b in pairs) / len(pairs)
    verdict = replace(verdict, difference=difference, note=_budgets(first, second, seeds))
    if len(pairs) < FEWEST_SEEDS or equal_differences(pairs):
        return verdict
    student, p = paired(pairs)
    return replace(verdict, student=student, bootstrap=resampled([a - b for a, b in pairs]), p=p)


def equal_differences(pairs: Sequence[tuple[float, float]]) -> bool:
    """Return whether the differences of all pairs are equal up to rounding.

    >>> equal_differences([(0.3, 0.1), (0.4, 0.2)]), equal_differences([(0.3, 0.1), (0.4, 0.1)])
    (True, False)
    """
    differences = [a - b for a, b in pairs]
    return max(differences) - min(differences) <= EQUAL * max(abs(score) for pair in pairs for score in pair)


def _budgets(first: Group, second: Group, seeds: Sequence[int]) -> str | None:
    """Return how the budgets of two settings differ; generator updates are compared where the images are equal."""
    used = [[row.run for row in group.rows if row.run.setup.seed in seeds] for group in (first, second)]
    for unit in ("images_seen", "generator_updates"):
        counts = [sorted({getattr(run, unit) for run in runs}) for runs in used]
        if counts[0] != counts[1]:
            shown = [" to ".join(f"{count:,}" for count in sorted({each[0], each[-1]})) for each in counts]
            return f"budgets differ: {shown[0]} and {shown[1]} {unit.replace('_', ' ')}"
    return None


def paired(pairs: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], float]:
    """Return Student's 95 % interval of the mean paired difference, and the p-value of the paired t test.

    Args:
        pairs: the scores of two settings for each seed; not all differences are equal.
    """
    from scipy import stats  # takes seconds, which a report without verdicts does not need

    first, second = zip(*pairs, strict=True)
    result = stats.ttest_rel(first, second)
    interval = result.confidence_interval(0.95)
    return (float(interval.low), float(interval.high)), float(result.pvalue)


def resampled(differences: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the mean; the resamples are the same in every report."""
    import numpy as np
    from scipy import stats

    result = stats.bootstrap(
        (differences,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(0)
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for the number of comparisons by Holm's step-down method (Holm 1979).

    The i-th smallest of m p-values, counted from 1, is multiplied by m - i + 1; the results are made non-decreasing and
    limited to 1. The probability of any false difference is then at most the level.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def _better_first(verdict: Verdict) -> Verdict:
    """Exchange the settings if the second is the better one, or the lower one where the direction is not known."""
    if verdict.difference is None or not verdict.differs:
        return verdict
    lower = True if verdict.lower is None else verdict.lower
    if (verdict.difference < 0) == lower:
        return verdict
    return replace(
        verdict,
        first=verdict.second,
        second=verdict.first,
        difference=-verdict.difference,
        student=_negated(verdict.student),
        bootstrap=_negated(verdict.bootstrap),
    )


def _negated(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if interval is None else (-interval[1], -interval[0])
