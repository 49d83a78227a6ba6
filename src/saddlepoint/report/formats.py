"""Reports as text: Markdown and LaTeX with a row for each setting, CSV and JSON with a row for each run."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from saddlepoint.errors import UserError
from saddlepoint.metrics.cards import short
from saddlepoint.report import settings
from saddlepoint.report.table import Column, Group, Interval, Row, Table, device
from saddlepoint.report.verdicts import Verdict


@dataclass(frozen=True)
class Report:
    """Everything that a report shows.

    Attributes:
        table: the runs.
        columns: the indices of the scores that are compared.
        verdicts: the comparisons.
        value: ``last`` or ``best``, the value of a run that is compared.
        problems: a line for each folder that was left out and each failed job.
        commands: the command that repeats a run, by the run's name.
    """

    table: Table
    columns: Sequence[int]
    verdicts: Sequence[Verdict]
    value: str
    problems: Sequence[str] = ()
    commands: Mapping[str, str] = field(default_factory=dict)


def real(column: Column) -> str:
    """Return the score of real images, or its range if it differs between runs; empty without one.

    >>> from saddlepoint.report.protocol import Protocol
    >>> protocol = Protocol("fid", 64, None, "digits", "random", "1", "none", 0, None, None, 1)
    >>> real(Column(protocol, "fid", True, (0.5, 0.5))), real(Column(protocol, "fid", True, (0.5, 0.75)))
    ('0.5', '0.5 to 0.75')
    """
    if column.real is None:
        return ""
    return " to ".join(dict.fromkeys(map(short, column.real)))


def interval(found: Interval | None) -> str:
    """Return a mean and its interval.

    >>> interval(Interval(2.0, 0.5, 3)), interval(Interval(2.0, None, 1)), interval(None)
    ('2 ± 0.5', '2', '')
    """
    if found is None:
        return ""
    return short(found.mean) if found.half is None else f"{short(found.mean)} ± {short(float(f'{found.half:.2g}'))}"


def markdown(report: Report) -> str:
    """Return a Markdown table of the settings, and the verdicts as a list."""
    headings, rows = _by_setting(report)
    escaped = [[cell.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;") for cell in row] for row in rows]
    lines = [_tabulate(headings, escaped, "github"), "", caption(report)]
    lines += ["", *(f"- {verdict.sentence()}".replace("<", "&lt;") for verdict in report.verdicts)]
    lines += ["", *(f"- {problem}".replace("<", "&lt;") for problem in report.problems)] if report.problems else []
    return "\n".join(lines) + "\n"


def latex(report: Report) -> str:
    """Return a LaTeX table of the settings, for the package booktabs."""
    return _tabulate(*_by_setting(report), "latex_booktabs") + "\n"


def caption(report: Report) -> str:
    """Return the sentence that says what the figures are."""
    compared = [report.table.columns[index] for index in report.columns]
    columns = ", ".join(f"{column.title} {real(column)}" for column in compared if column.real is not None)
    about = f"Mean ± 95 % interval over seeds; the {report.value} value of each run is compared."
    about += f" Real images: {columns}." if columns else ""
    return f"{about} {following(report.table)}".strip()


def following(table: Table) -> str:
    """Return the sentence that names the settings that follow from those in the table, without keys of named groups."""
    groups = {name for name in (*table.names, *table.following) if "." not in name}
    left_out = ", ".join(name for name in table.following if "." not in name or name.partition(".")[0] not in groups)
    if not left_out:
        return ""
    return f"These settings differ too, and follow from {', '.join(table.names)} in all these runs: {left_out}."


def _by_setting(report: Report) -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of the table of settings, with the compared scores."""
    table = report.table
    shown = [table.columns[index] for index in report.columns]
    headings = [*(table.names or ["run"]), "seeds", *(f"{c.title} {v}" for c in shown for v in ("last", "best"))]
    headings += ["images", "hours", "device", "budget"]
    return headings, [_group(group, report) for group in table.groups]


def _group(group: Group, report: Report) -> list[str]:
    runs = [row.run for row in group.rows]
    names = report.table.names
    cells = [settings.shown(runs[0].setup.value(name)) for name in names] if names else [group.label]
    images = sorted({run.images_seen for run in runs})
    return [
        *cells,
        str(len({run.setup.seed for run in runs})),
        *(interval(group.over_seeds(index, value)) for index in report.columns for value in ("last", "best")),
        " to ".join(f"{count:,}" for count in dict.fromkeys((images[0], images[-1]))),
        f"{sum(run.hours for run in runs) / len(runs):.3g}",
        ", ".join(sorted({device(run) for run in runs})),
        group.mark or "",
    ]


def _tabulate(headings: Sequence[str], rows: Sequence[Sequence[str]], style: str) -> str:
    try:
        from tabulate import tabulate
    except ImportError:
        raise UserError("tabulate is not installed", "format", "pip install 'saddlepoint[report]'") from None
    return tabulate(rows, headings, tablefmt=style, disable_numparse=True)


def as_csv(report: Report) -> str:
    """Return a CSV table with a row for each run."""
    rows = [_flat(row, report) for row in report.table.rows]
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _flat(row: Row, report: Report) -> dict[str, Any]:
    run, table = row.run, report.table
    flat: dict[str, Any] = {"run": str(run.path), **{name: run.setup.value(name) for name in table.names}}
    flat["seed"] = run.setup.seed
    for column, score in zip(table.columns, row.scores, strict=True):
        flat[f"{column.title} last"] = None if score is None else score.last
        flat[f"{column.title} best"] = None if score is None else score.best
        flat[f"{column.title} best at images"] = None if score is None else score.best_at
        same = column.real is not None and column.real[0] == column.real[1]
        flat[f"{column.title} real"] = column.real[0] if same and column.real else real(column)
    flat |= {"images": run.images_seen, "generator updates": run.generator_updates, "hours": round(run.hours, 5)}
    return flat | {"device": device(run), "finished": run.finished}


def as_json(report: Report) -> str:
    """Return the runs, the means over seeds and the verdicts as JSON."""
    table = report.table
    content = {
        "settings": list(table.names),
        "scores": [
            {"title": column.title, **column.protocol._asdict(), "lower_is_better": column.lower, "real": column.real}
            for column in table.columns
        ],
        "runs": [_run(row, report) for row in table.rows],
        "means": [
            {
                "settings": group.label,
                "budget": group.mark,
                **{c.title: _mean(group, index) for index, c in enumerate(table.columns)},
            }
            for group in table.groups
        ],
        "verdicts": [_verdict(verdict) for verdict in report.verdicts],
        "problems": list(report.problems),
    }
    return json.dumps(content, indent=2) + "\n"


def _run(row: Row, report: Report) -> dict[str, Any]:
    run = row.run
    return {
        "name": row.name,
        "path": str(run.path),
        "settings": {name: run.setup.value(name) for name in report.table.names},
        "seed": run.setup.seed,
        "scores": {
            column.title: None if score is None else vars(score)
            for column, score in zip(report.table.columns, row.scores, strict=True)
        },
        "images": run.images_seen,
        "generator_updates": run.generator_updates,
        "hours": run.hours,
        "device": device(run),
        "finished": run.finished,
        "command": report.commands.get(row.name),
    }


def _mean(group: Group, column: int) -> dict[str, Any]:
    found = {value: group.over_seeds(column, value) for value in ("last", "best")}
    return {value: None if each is None else each._asdict() for value, each in found.items()}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {**vars(verdict), "seeds": list(verdict.seeds), "differs": verdict.differs, "sentence": verdict.sentence()}


TEXT = {"markdown": markdown, "csv": as_csv, "json": as_json, "latex": latex}
"""The formats that are text."""
