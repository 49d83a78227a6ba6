"""``python report.py runs=PATH``: compares runs from their folders, as a page or as text, or in W&B by ``wandb=``."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from saddlepoint import writing
from saddlepoint.commands import workspace
from saddlepoint.commands.repeat import Repetition, command
from saddlepoint.errors import UserError
from saddlepoint.report import formats
from saddlepoint.report.formats import Report
from saddlepoint.report.page import MARK, page
from saddlepoint.report.runs import find, matching
from saddlepoint.report.settings import named
from saddlepoint.report.table import arrange, select
from saddlepoint.report.verdicts import compare

REMEDY = "set out to a file that can be written"


def run(config: DictConfig) -> None:
    """Write or print the report: once, or with ``watch=true`` whenever the runs have changed; or save a workspace."""
    if config.wandb is not None:
        if config.runs:
            raise UserError("mutually exclusive with runs=", "wandb", "give one of them")
        workspace.save(config)
        return
    if not config.runs:
        raise UserError("no runs are given", "runs", "set it to folders of runs or of sweeps, such as outputs")
    out = Path(config.out or "report.html") if config.out or config.format == "html" else None
    if config.watch and out is None:
        raise UserError("a report that is kept up to date needs a file", "out", "set it, or leave watch out")
    if out is not None:
        _check(out, config.overwrite)
    repetition = Repetition()
    places = [config.runs] if isinstance(config.runs, str) else list(config.runs)
    before = _state(places) if config.watch else None
    _write(build(config, places, repetition), config.format, out)
    try:
        while config.watch:
            time.sleep(config.watch_seconds)
            state = _state(places)
            if state != before:
                _write(build(config, places, repetition), config.format, out)
                before = state
    except KeyboardInterrupt:  # the way to end it
        _say("stopped")


def build(config: DictConfig, places: Sequence[str], repetition: Repetition) -> Report:
    """Read the runs, and compare them."""
    found = find(places)
    overrides = [repetition.overrides(run) for run in found.runs]
    explicit = {name for line in overrides for name in named(line or ())}
    table = arrange(found.runs, explicit)
    columns = select(table, None if config.metrics is None else list(config.metrics))
    lines = {id(run): command(line) for run, line in zip(found.runs, overrides, strict=True) if line is not None}
    commands = {row.name: lines[id(row.run)] for row in table.rows if id(row.run) in lines}
    return Report(table, columns, compare(table, columns, config.value), config.value, found.problems, commands)


def _check(out: Path, overwrite: bool) -> None:
    """Check that the file can be written, and that it does not exist or is a page of this command.

    Raises:
        UserError: if not.
    """
    writing.check_appendable(out, REMEDY)
    if out.exists() and out.stat().st_size and not overwrite:
        with out.open("rb") as file:
            if MARK.encode() not in file.read(200):
                remedy = "choose another file, or add overwrite=true"
                raise UserError(f"{out} exists and is not a report", "out", remedy)


def _write(report: Report, form: str, out: Path | None) -> None:
    text = page(report) if form == "html" else formats.TEXT[form](report)
    if out is None:
        sys.stdout.write(text)
        sys.stderr.writelines(f"{problem}\n" for problem in report.problems)
        return
    with writing.explained(out, REMEDY):
        writing.write_atomically(out, text.encode())
    table = report.table
    for problem in report.problems:
        _say(problem)
    for verdict in report.verdicts[:10]:
        _say(verdict.sentence())
    if len(report.verdicts) > 10:
        _say(f"and {len(report.verdicts) - 10} more comparisons in the report")
    runs, groups = len(table.rows), len(table.groups)
    counts = f"{runs} run{'s' * (runs > 1)} of {groups} setting{'s' * (groups > 1)}"
    _say(f"{counts}; report written to {out}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _state(places: Sequence[str]) -> set[tuple[Path, int, int]]:
    """Return the files that runs write under the given places, with their sizes and times of change."""
    patterns = ("**/*.jsonl", "**/summary.json", "**/samples/*.png")
    folders = [folder for place in places for folder in matching(place)]
    files = [file for folder in folders for pattern in patterns for file in folder.glob(pattern)]
    return {(file, stat.st_size, stat.st_mtime_ns) for file in files if (stat := file.stat())}
