"""The table at the end of a run."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from saddlepoint.metrics.cards import short
from saddlepoint.systems.game import Game
from saddlepoint.tracking.record import RunRecord


def summarise(record: RunRecord, system: Game) -> dict[str, Any]:
    """Return the run in a few plain figures, for ``summary.json`` and a sweep's table."""
    return {
        "directory": str(record.directory),
        "images_seen": system.progress.images_seen,
        "generator_updates": system.progress.generator_updates,
        "seconds": round(system.progress.seconds, 1),
        "evaluation_seconds": round(record.evaluation_seconds, 1),
        "untrained": {name: card.value for name, card in record.first.items() if card.images_seen == 0},
        "last": {name: card.value for name, card in record.latest.items()},
        "best": None if record.best is None else {record.best.metric: record.best.value},
        "best_at_images": None if record.best is None else record.best.images_seen,
    }


def print_table(record: RunRecord, system: Game) -> None:
    """Print scores, cost, where things lie and how to go on from them."""
    console = Console(width=None if Console().is_terminal else 110)
    if record.latest:
        console.print(_scores(record))
    progress = system.progress
    rate = progress.images_seen / max(progress.seconds, 1e-9)
    console.print(
        f"{progress.images_seen:,} images and {progress.generator_updates:,} generator updates in "
        f"{progress.seconds:,.0f} s ({rate:,.0f} images/s), and {record.evaluation_seconds:,.0f} s of scoring",
        highlight=False,
    )
    for card in record.latest.values():
        if card.note is not None:
            console.print(f"{card.metric}: {card.note}", highlight=False, soft_wrap=True)
    directory = record.directory
    checkpoint = "best" if (directory / "checkpoints" / "best.ckpt").exists() else "last"
    argument = shlex.quote(f"checkpoint={directory}/checkpoints/{checkpoint}.ckpt")
    console.print(
        f"[bold]{escape(str(directory))}[/bold] holds {escape(', '.join(_contents(directory)))}\n"
        f"sample from it:  {_sampler()} {escape(argument)} n=64",
        highlight=False,
        soft_wrap=True,
    )


def _contents(directory: Path) -> list[str]:
    """Return what lies in a run's directory, folders first."""
    entries = sorted(directory.iterdir(), key=lambda entry: (not entry.is_dir(), entry.name))
    return [f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries if not entry.name.startswith(".")]


def _sampler() -> str:
    """Return how to sample for a user who trains as this process was told to: by the script, or as installed."""
    script = Path(getattr(sys.modules["__main__"], "__file__", None) or "")
    return "python sample.py" if script.name == "train.py" else "saddlepoint sample"


def _scores(record: RunRecord) -> Table:
    table = Table()
    table.add_column("score")
    for heading in ("untrained", "last", "best", "real", "n"):
        table.add_column(heading, justify="right")
    for name, card in record.latest.items():
        first = record.first[name]
        best = record.best if record.best is not None and record.best.metric == name else None
        table.add_row(
            name,
            short(first.value) if first.images_seen == 0 else "",
            short(card.value),
            f"{short(best.value)} at {best.images_seen:,}" if best else "",
            card.real_shown,
            f"{card.n:,}",
        )
    return table
