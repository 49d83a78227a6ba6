"""The record of a run: its scores so far, and the loggers and files that rows, cards and pictures are written to."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from saddlepoint.metrics.cards import BEST, REAL, ScoreCard
from saddlepoint.metrics.directions import improves
from saddlepoint.systems.progress import Progress
from saddlepoint.tracking.run_logger import RunLogger
from saddlepoint.writing import append_json_line, read_json_lines, write_atomically


@dataclass
class RunRecord:
    """The directory, loggers and scores of a run.

    Attributes:
        directory: the run's folder.
        loggers: the local history, and those that ``logger=`` names.
        monitor: the metric that selects the best checkpoint, or None without scores.
        first: the first card of each metric, of the untrained system unless ``scores.at_start=false``.
        latest: the latest card of each metric.
        best: the card of ``monitor`` with the best value so far.
        evaluation_seconds: time spent on computing scores.
        wandb_id: id of the W&B run, which is continued when the run is resumed.
        row: the latest row of the history.
        release: releases the lock on the directory.
    """

    directory: Path
    loggers: Sequence[RunLogger] = ()
    monitor: str | None = None
    first: dict[str, ScoreCard] = field(default_factory=dict)
    latest: dict[str, ScoreCard] = field(default_factory=dict)
    best: ScoreCard | None = None
    evaluation_seconds: float = 0.0
    wandb_id: str | None = None
    row: Mapping[str, float] = field(default_factory=dict)
    release: Callable[[], None] = field(default=lambda: None, repr=False)

    def log(self, progress: Progress, metrics: Mapping[str, float]) -> None:
        """Write a row to every logger, adding images seen, generator updates and seconds."""
        row = {
            "images_seen": progress.images_seen,
            "generator_updates": progress.generator_updates,
            "seconds": round(progress.seconds, 3),
            **metrics,
        }
        self.row = row
        for logger in self.loggers:
            logger.log(row)

    def log_picture(
        self, progress: Progress, key: str, picture: Image.Image, folder: str = "samples", stamped: bool = True
    ) -> Path:
        """Save a picture under ``folder`` of the run's directory and log it.

        Args:
            progress: the run's progress.
            key: name of the picture.
            picture: the picture.
            folder: subfolder of the run's directory.
            stamped: whether the file name contains the number of images seen; if not, earlier pictures are overwritten.
        """
        name = f"{key}-{progress.images_seen:09d}.png" if stamped else f"{key}.png"
        path = self.directory / folder / name
        path.parent.mkdir(exist_ok=True)
        picture.save(path)
        for logger in self.loggers:
            logger.log_picture(key, picture, progress.images_seen)
        return path

    def log_animation(self, progress: Progress, key: str, path: Path) -> None:
        """Log a GIF file."""
        for logger in self.loggers:
            logger.log_animation(key, path, progress.images_seen)

    def alert(self, title: str, text: str) -> None:
        """Send a warning by each logger that can."""
        for logger in self.loggers:
            logger.alert(title, text)

    def log_files(self, kind: str, paths: Sequence[Path], alias: str, about: Mapping[str, Any]) -> None:
        """Store files as an artifact by each logger that can."""
        for logger in self.loggers:
            logger.log_files(kind, paths, alias, about)

    def finish(self) -> None:
        """Finish all loggers; may be called again."""
        for logger in self.loggers:
            logger.finish()
        self.loggers = ()

    def add(self, progress: Progress, cards: Iterable[ScoreCard], seconds: float) -> None:
        """Record an evaluation: append its cards to ``scores.jsonl``, and log their values and those of real images."""
        row: dict[str, float] = {}
        self.evaluation_seconds += seconds
        for card in cards:
            append_json_line(self.directory / "scores.jsonl", dataclasses.asdict(card))
            self.first.setdefault(card.metric, card)
            self.latest[card.metric] = card
            row[card.metric] = card.value
            if card.real is not None:
                row[f"{REAL}{card.metric}"] = card.real
            if card.metric == self.monitor and self._improves(card):
                self.best = card
        if self.best is not None:
            # A separate key: define_metric(summary="min") would remove the plain one, which W&B sweeps optimize.
            row[f"{self.best.metric}{BEST}"] = self.best.value
        row["evaluation_seconds"] = round(seconds, 3)
        self.log(progress, row)

    def is_best(self, progress: Progress) -> bool:
        """Whether the best card so far is from this point of the run."""
        return self.best is not None and self.best.images_seen == progress.images_seen

    def headlines(self) -> list[ScoreCard]:
        """Return the latest cards for the progress bar: the monitored score, if any, and the first two others."""
        cards = list(self.latest.values())
        return sorted(cards, key=lambda card: card.metric != self.monitor)[:3]

    def _improves(self, card: ScoreCard) -> bool:
        if self.best is None:
            return math.isfinite(card.value)
        return improves(card.metric, card.value, self.best.value)

    def state(self) -> dict[str, Any]:
        """Return the scores as plain containers, to be saved in a checkpoint."""
        return {
            "best": None if self.best is None else self.best.to_json(),
            "first": [card.to_json() for card in self.first.values()],
            "latest": [card.to_json() for card in self.latest.values()],
            "evaluation_seconds": self.evaluation_seconds,
            "wandb_id": self.wandb_id,
        }

    def restore(self, state: Mapping[str, Any], progress: Progress) -> None:
        """Restore the scores from a checkpoint, and remove the rows of the history that were written after it."""
        self.best = None if state["best"] is None else ScoreCard.from_json(state["best"])
        for cards, lines in ((self.first, state["first"]), (self.latest, state["latest"])):
            cards.update((card.metric, card) for card in map(ScoreCard.from_json, lines))
        self.evaluation_seconds = state["evaluation_seconds"]
        for name in ("scores.jsonl", "history.jsonl"):
            path = self.directory / name
            rows = [row for row in read_json_lines(path) if row.get("images_seen", 0) <= progress.images_seen]
            if path.exists():
                write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
        for logger in self.loggers:
            logger.rewind(rows, progress.images_seen)
