"""The table: one row a run, with columns for the settings that differ and for scores, and groups of equal settings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from saddlepoint.errors import UserError
from saddlepoint.metrics.directions import lower_is_better
from saddlepoint.report import settings
from saddlepoint.report.protocol import Protocol
from saddlepoint.report.runs import Card, Run


@dataclass(frozen=True)
class Score:
    """A run's values of one score.

    Attributes:
        best: the best value during training, without that of the untrained model; None if it is not known which
            direction is better.
        best_at: images seen at the best value.
        last: the last value.
        last_at: images seen at the last value.
    """

    best: float | None
    best_at: int | None
    last: float
    last_at: int


@dataclass(frozen=True)
class Column:
    """A column of scores of one protocol.

    Attributes:
        protocol: the protocol.
        title: the score's name, followed by what tells it from the other columns of that name.
        lower: whether lower is better; None if it is not known.
        real: the range of the same score of real images over the runs' cards; None without one.
    """

    protocol: Protocol
    title: str
    lower: bool | None
    real: tuple[float, float] | None


@dataclass(frozen=True)
class Row:
    """A run in the table.

    Attributes:
        run: the run.
        name: a short name, which no other row has.
        label: the name of its settings, shared by the runs of other seeds.
        scores: its scores by column, in the order of the columns; None where it has no score of that protocol.
    """

    run: Run
    name: str
    label: str
    scores: Sequence[Score | None]


class Interval(NamedTuple):
    """A mean over seeds with the half width of its 95 % interval, which is None for a single seed."""

    mean: float
    half: float | None
    n: int


@dataclass(frozen=True)
class Group:
    """The runs of equal settings.

    Attributes:
        label: the name of the settings.
        rows: the runs, sorted by seed.
        mark: how the budget of its runs differs from that of most runs, or within the group; None if it does not.
    """

    label: str
    rows: Sequence[Row]
    mark: str | None

    def by_seed(self, column: int, value: str = "last") -> dict[int, float]:
        """Return a score of each seed; of several runs with the same seed, the mean."""
        values: dict[int, list[float]] = {}
        for row in self.rows:
            if (score := number(row.scores[column], value)) is not None:
                values.setdefault(row.run.setup.seed, []).append(score)
        return {seed: math.fsum(scores) / len(scores) for seed, scores in values.items()}

    def over_seeds(self, column: int, value: str = "last") -> Interval | None:
        """Return the mean of a score over the group's seeds; None if no run has it."""
        return mean(list(self.by_seed(column, value).values()))


@dataclass(frozen=True)
class Table:
    """Runs, arranged.

    Attributes:
        names: the settings that differ.
        following: further settings that differ, but follow from these.
        columns: the scores.
        groups: the runs by settings.
    """

    names: Sequence[str]
    columns: Sequence[Column]
    groups: Sequence[Group]
    following: Sequence[str] = ()

    @property
    def rows(self) -> list[Row]:
        """All rows."""
        return [row for group in self.groups for row in group.rows]


def number(score: Score | None, value: str) -> float | None:
    """Return the ``best`` or ``last`` value of a score."""
    if score is None:
        return None
    return score.last if value == "last" or score.best is None else score.best


def mean(values: Sequence[float]) -> Interval | None:
    """Return the mean of values with Student's 95 % interval; None without values.

    >>> mean([1.0, 2.0, 3.0])  # doctest: +ELLIPSIS
    Interval(mean=2.0, half=2.48413771..., n=3)
    """
    if not values:
        return None
    n, centre = len(values), math.fsum(values) / len(values)
    if n == 1:
        return Interval(centre, None, 1)
    deviation = math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (n - 1))
    return Interval(centre, student(n - 1) * deviation / math.sqrt(n), n)


def student(degrees: int) -> float:
    """Return the 97.5 % quantile of Student's t distribution."""
    from scipy.special import stdtrit  # takes a fifth of a second, which a report of single runs does not need

    return float(stdtrit(degrees, 0.975))


def arrange(runs: Sequence[Run], explicit: Iterable[str] = ()) -> Table:
    """Arrange runs in a table.

    Args:
        runs: the runs.
        explicit: names of settings that were set on command lines; see :func:`saddlepoint.report.settings.differing`.
    """
    setups = [run.setup for run in runs]
    names, needed = settings.differing(setups, explicit), settings.differing(setups)
    following = [name for name in settings.all_differing(setups) if name not in names]
    columns = _columns(runs)
    shared = _common([budget(run) for run in runs])
    grouped: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        grouped.setdefault(settings.identity(run.setup, needed), []).append(run)
    short = [settings.label(members[0].setup, needed) for members in grouped.values()]
    taken: dict[str, int] = {}
    groups = []
    for label, members in zip(short, grouped.values(), strict=True):
        if short.count(label) > 1:  # null and none, which short labels leave out
            label = settings.full_label(members[0].setup, needed)
        members.sort(key=lambda run: (run.setup.seed, str(run.path)))
        rows = [
            Row(run, _name(label, run, taken), label, [_score(run, column) for column in columns]) for run in members
        ]
        groups.append(Group(label, rows, _mark([budget(run) for run in members], shared)))
    return Table(names, columns, groups, following)


def _name(label: str, run: Run, taken: dict[str, int]) -> str:
    name = f"{label} seed {run.setup.seed}"
    taken[name] = taken.get(name, 0) + 1
    return name if taken[name] == 1 else f"{name} ({taken[name]})"


def _columns(runs: Sequence[Run]) -> list[Column]:
    reals: dict[Protocol, list[float]] = {}
    for run in runs:
        for protocol, card in _with_protocols(run):
            reals.setdefault(protocol, []).extend([] if card.real is None else [card.real])
    return [
        Column(protocol, _title(protocol, reals), direction(protocol.metric), (min(real), max(real)) if real else None)
        for protocol, real in reals.items()
    ]


def _with_protocols(run: Run) -> list[tuple[Protocol, Card]]:
    averaged = any(card.ema for card in run.cards)
    return [(Protocol.of(card, averaged), card) for card in run.cards]


def direction(metric: str) -> bool | None:
    """Return whether lower is better; None if neither is, or for a score of a plugin, whose direction is not known."""
    try:
        return lower_is_better(metric)
    except UserError:
        return None


def _title(protocol: Protocol, others: Iterable[Protocol]) -> str:
    """Return the metric's name, with the fields that differ between the protocols of that metric."""
    same = [other for other in others if other.metric == protocol.metric]
    fields = [name for name in Protocol._fields if len({getattr(other, name) for other in same}) > 1]
    details = ", ".join(f"{name}={settings.shown(getattr(protocol, name))}" for name in fields)
    return f"{protocol.metric} ({details})" if details else protocol.metric


def _score(run: Run, column: Column) -> Score | None:
    own = [card for protocol, card in _with_protocols(run) if protocol == column.protocol]
    cards = list({card.images_seen: card for card in own}.values())  # of a checkpoint scored again, the last score
    if not cards:
        return None
    last = max(cards, key=lambda card: card.images_seen)
    if column.lower is None:
        return Score(None, None, last.value, last.images_seen)
    trained = [card for card in cards if card.images_seen > 0] or cards
    best = (min if column.lower else max)(trained, key=lambda card: card.value)
    return Score(best.value, best.images_seen, last.value, last.images_seen)


Budget = tuple[int, int]
"""Images seen and generator updates."""


def budget(run: Run) -> Budget:
    """Return what a run has used."""
    return run.images_seen, run.generator_updates


def _common(budgets: Sequence[Budget]) -> Budget:
    """Return the budget of most runs."""
    return max(budgets, key=lambda one: (budgets.count(one), one))


def _mark(budgets: Sequence[Budget], shared: Budget) -> str | None:
    images = sorted({one[0] for one in budgets})
    if len(images) > 1:
        return f"runs ended at {images[0]:,} to {images[-1]:,} images"
    if images[0] != shared[0]:
        return f"{images[0]:,} images instead of {shared[0]:,}"
    updates = sorted({one[1] for one in budgets})
    if updates != [shared[1]]:
        spread = f"{updates[0]:,}" if len(updates) == 1 else f"{updates[0]:,} to {updates[-1]:,}"
        return f"{spread} generator updates instead of {shared[1]:,}"
    return None


def device(run: Run) -> str:
    """Return the device as the summary records it, else as it was asked for, such as ``auto`` or ``2 gpu``."""
    recorded = (run.summary or {}).get("device")
    if isinstance(recorded, str):
        return recorded
    accelerator, number = run.setup.keys.get("trainer.accelerator"), run.setup.keys.get("trainer.devices")
    return settings.shown(accelerator or "") if number in (None, 1) else f"{number} {accelerator}"


def monitored(table: Table) -> list[int]:
    """Return the columns of the scores that select best checkpoints, or the first column if that is not known."""
    names = {row.run.monitor for row in table.rows}
    found = [i for i, column in enumerate(table.columns) if column.protocol.metric in names]
    return found or [0][: len(table.columns)]


def select(table: Table, metrics: Sequence[str] | None) -> list[int]:
    """Return the columns of the named scores; of the monitored ones for None, and of all for ``["all"]``.

    Raises:
        UserError: no run has a score of that name.
    """
    if metrics is None:
        return monitored(table)
    known = [column.protocol.metric for column in table.columns]
    for metric in metrics:
        if metric != "all" and metric not in known:
            remedy = f"choose from {', '.join(dict.fromkeys(known))}" if known else "the runs have no scores"
            raise UserError(f"no run has the score '{metric}'", "metrics", remedy)
    return [i for i, metric in enumerate(known) if "all" in metrics or metric in metrics]
