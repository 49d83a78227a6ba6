"""Reading runs: folders of runs and of sweeps, and the files that a run writes about itself."""

from __future__ import annotations

import dataclasses
import glob
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from saddlepoint.errors import UserError
from saddlepoint.metrics.cards import BEST, ScoreCard
from saddlepoint.report.settings import Setup
from saddlepoint.writing import read_json_lines

CONFIG, JOBS, SUMMARY, HISTORY, SCORES = "config.yaml", "jobs.jsonl", "summary.json", "history.jsonl", "scores.jsonl"
STAMPED = re.compile(r"(?P<kind>.+)-(?P<images>\d{9,})")
"""The name of a picture without its extension, such as ``samples-000000064``."""
MOST_CONFIG_BYTES = 1_000_000


@dataclass(frozen=True)
class Card(ScoreCard):
    """A line of ``scores.jsonl``, from training or from ``evaluate.py``.

    Attributes:
        seeds: the number of evaluation seeds that the value is a mean over.
    """

    seeds: int = 1


FIELDS = {field.name for field in dataclasses.fields(Card)}


@dataclass(frozen=True)
class Picture:
    """A picture that a run has saved.

    Attributes:
        kind: what it shows, such as ``samples`` or ``closest_pairs_pixels``.
        images_seen: when it was made; None for pictures that are overwritten during the run.
        path: the PNG file.
    """

    kind: str
    images_seen: int | None
    path: Path


@dataclass(frozen=True)
class Run:
    """A run as its files describe it. A run that is going on or was killed has no summary.

    Attributes:
        path: the run's folder.
        setup: its settings and choices.
        summary: the contents of ``summary.json``, or None.
        history: the rows of ``history.jsonl``.
        cards: the score cards of ``scores.jsonl``.
        pictures: the pictures, sorted by kind and time.
        overrides: the command line of the run, where a sweep has recorded it, else None.
    """

    path: Path
    setup: Setup
    summary: Mapping[str, Any] | None
    history: Sequence[Mapping[str, Any]]
    cards: Sequence[Card]
    pictures: Sequence[Picture]
    overrides: Sequence[str] | None = None

    @property
    def finished(self) -> bool:
        """Whether the run has ended regularly."""
        return self.summary is not None

    @cached_property
    def images_seen(self) -> int:
        """Images seen at the end, or so far."""
        return int(self._last("images_seen"))

    @cached_property
    def generator_updates(self) -> int:
        """Generator updates at the end, or so far."""
        return int(self._last("generator_updates"))

    @cached_property
    def hours(self) -> float:
        """Hours of training, without the time of evaluations."""
        return self._last("seconds") / 3600

    @cached_property
    def monitor(self) -> str | None:
        """The score that selects the best checkpoint; None without scores."""
        if self.summary is not None:
            return next(iter(self.summary.get("best") or {}), None)
        names = {card.metric for card in self.cards}
        rows = (key.removesuffix(BEST) for row in self.history for key in row if key.endswith(BEST))
        return next((name for name in rows if name in names), None)

    def _last(self, key: str) -> float:
        """Return a counter's final value: that of the summary, else the largest in the history and the cards."""
        if self.summary is not None and isinstance(self.summary.get(key), int | float):
            return float(self.summary[key])
        counts = [row[key] for row in self.history if isinstance(row.get(key), int | float)]
        if key != "seconds":  # on a card, the seconds are those of the score
            counts += [getattr(card, key) for card in self.cards]
        return float(max(counts, default=0))


@dataclass(frozen=True)
class Found:
    """Runs, and a line for each folder that cannot be read, with the reason."""

    runs: Sequence[Run]
    problems: Sequence[str]


def find(places: str | Sequence[str]) -> Found:
    """Read the runs in folders.

    Args:
        places: the folder of a run or of a sweep, a folder that contains such folders at any depth, a glob pattern, or
            a list of these. A run that several of them name is read once.

    Raises:
        UserError: a folder does not exist, or there are no runs.
    """
    given = [places] if isinstance(places, str) else list(places)
    runs: dict[Path, Run] = {}
    problems: dict[Path, str] = {}
    folders, empty = [], []
    for place in given:
        if not (found := matching(place)):
            raise UserError(f"no such folder: {place}", "runs", "use folders of runs or of sweeps, or a pattern")
        folders += found
        directories = [directory for folder in found for directory in _run_folders(folder)]
        if not directories:
            empty.append(f"{place} is left out: no folder with a {CONFIG} in it")
        for directory in directories:
            resolved = directory.resolve()
            if resolved in runs or resolved in problems:
                continue
            try:
                runs[resolved] = read(directory)
            except (ValueError, TypeError, OSError, yaml.YAMLError, RecursionError) as error:
                problems[resolved] = f"{directory} is left out: {_first_line(error)}"
    lines = [*problems.values(), *_failed_jobs(folders)]
    if not runs:
        named = ", ".join(given)
        reason = f" ({lines[0]})" if lines else ""
        raise UserError(f"no runs in {named}{reason}", "runs", "a run's folder contains config.yaml")
    return Found(list(runs.values()), [*empty, *lines])


def _run_folders(folder: Path) -> Iterator[Path]:
    """Yield the folders with a ``config.yaml`` of a run, without looking inside them."""
    if not folder.is_dir():
        return
    if (folder / CONFIG).is_file() and not (folder / JOBS).exists():
        yield folder
        return
    for entry in sorted(folder.iterdir(), key=_by_number):
        if entry.is_dir() and not entry.is_symlink() and not entry.name.startswith("."):
            yield from _run_folders(entry)


def _by_number(path: Path) -> tuple[int, str]:
    """Sort the jobs of a sweep, whose names begin with their number, by number."""
    number = path.name.partition("_")[0]
    return (int(number) if number.isdecimal() and len(number) < 9 else -1, path.name)


def matching(place: str) -> list[Path]:
    """Return the paths that match a pattern, or the path itself if it exists."""
    if Path(place).exists():
        return [Path(place)]
    return sorted(map(Path, glob.glob(place, recursive=True)))  # noqa: PTH207, since Path.glob takes no absolute pattern


def _failed_jobs(folders: Iterable[Path]) -> Iterator[str]:
    """Yield a line for each failed job of the sweeps in folders."""
    files = {file.resolve(): file for folder in folders if folder.is_dir() for file in sorted(folder.rglob(JOBS))}
    for file in files.values():
        for job in _jobs(file).values():
            if job.get("status") == "failed":
                yield f"{file.parent}: job {job.get('num')} failed: {str(job.get('error')).splitlines()[0]}"


def _jobs(file: Path) -> dict[str, dict[str, Any]]:
    """Return the jobs of a sweep by number; of a job that was run again, the last record counts."""
    return {str(job.get("num")): job for job in read_json_lines(file) if isinstance(job, dict)}


def read(directory: Path) -> Run:
    """Read a run from its folder.

    Raises:
        ValueError: its ``config.yaml`` is not that of a run, or a file is damaged.
        OSError: a file cannot be read.
    """
    config = _config(directory / CONFIG)
    summary_file = directory / SUMMARY
    try:
        summary = json.loads(summary_file.read_text()) if summary_file.exists() else None
    except json.JSONDecodeError:
        raise ValueError(f"{SUMMARY} is damaged") from None
    if summary is not None and not (isinstance(summary, dict) and isinstance(summary.get("best") or {}, dict)):
        raise ValueError(f"{SUMMARY} is not that of a run")
    history = [row for row in read_json_lines(directory / HISTORY) if isinstance(row, dict)]
    return Run(
        directory,
        Setup.of(config),
        summary,
        [row for row in history if isinstance(row.get("images_seen"), int | float)],
        list(_cards(directory / SCORES)),
        _pictures(directory),
        _overrides(directory),
    )


def _config(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MOST_CONFIG_BYTES:
        raise ValueError(f"{CONFIG} is too large for a config")
    content = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if not isinstance(content, dict) or not isinstance(content.get("choices"), dict):
        raise ValueError(f"{CONFIG} is not that of a run: it has no choices")
    if not isinstance(content.get("seed"), int):
        raise ValueError(f"{CONFIG} is not that of a run: it has no seed")
    return content


def _cards(path: Path) -> Iterator[Card]:
    for line in read_json_lines(path):
        if not isinstance(line, dict):
            raise ValueError(f"{SCORES}: not a score card: {str(line)[:80]}")
        known = {key: value for key, value in line.items() if key in FIELDS}  # evaluate.py adds others
        if isinstance(line.get("seeds"), list):
            known["seeds"] = len(line["seeds"])
        try:
            yield Card.from_json(json.dumps(known))
        except (UserError, FloatingPointError) as error:
            raise ValueError(f"{SCORES}: {error}") from None


def _pictures(directory: Path) -> list[Picture]:
    found = []
    for folder in ("samples", "pictures"):
        for path in (directory / folder).glob("*.png"):
            stamped = STAMPED.fullmatch(path.stem)
            if stamped:
                found.append(Picture(stamped["kind"], int(stamped["images"]), path))
            else:
                found.append(Picture(path.stem, None, path))
    return sorted(found, key=lambda picture: (picture.kind, picture.images_seen or 0))


def _overrides(directory: Path) -> list[str] | None:
    """Return the command line of a sweep's job, from the sweep's record."""
    number = directory.name.partition("_")[0]
    job = _jobs(directory.parent / JOBS).get(number) if number.isdecimal() else None
    listed = job.get("overrides") if job else None
    return [str(one) for one in listed] if isinstance(listed, list) else None


def _first_line(error: Exception) -> str:
    if isinstance(error, yaml.YAMLError):
        return f"{CONFIG} is damaged"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return (str(error) or type(error).__name__).splitlines()[0]
