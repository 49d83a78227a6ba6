"""The table printed at the end of a run."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from saddlepoint.metrics.cards import short
from saddlepoint.systems.capabilities import Generates
from saddlepoint.systems.game import Game
from saddlepoint.tracking.record import RunRecord


def print_table(record: RunRecord, system: Game) -> None:
    """Print the scores, the training time, the contents of the run's folder and a command that samples from the run."""
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
    what = "n=64" if isinstance(system, Generates) else "inputs=PATH"
    console.print(
        f"[bold]{escape(str(directory))}[/bold] holds {escape(', '.join(_contents(directory)))}\n"
        f"sample from it:  {_sampler()} {escape(argument)} {what}",
        highlight=False,
        soft_wrap=True,
    )


def _contents(directory: Path) -> list[str]:
    """Return the contents of a run's directory, folders first."""
    entries = sorted(directory.iterdir(), key=lambda entry: (not entry.is_dir(), entry.name))
    return [f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries if not entry.name.startswith(".")]


def _sampler() -> str:
    """Return ``python sample.py`` if the run was started by ``train.py``, else the command of the console script."""
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
