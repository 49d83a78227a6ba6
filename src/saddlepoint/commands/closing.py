"""The table printed at the end of a run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from saddlepoint.metrics.cards import ScoreCard, short
from saddlepoint.metrics.directions import PREFIX
from saddlepoint.program import program
from saddlepoint.systems.capabilities import Generates
from saddlepoint.systems.game import Game
from saddlepoint.terminal import console
from saddlepoint.tracking.record import RunRecord

GROUPS = ("quality", "variety", "memorisation")
FIGURES = {
    **dict.fromkeys(("fid", "is", "kid", "precision"), "quality"),
    **dict.fromkeys(("recall", "coverage", "modes", "duplicates", "support"), "variety"),
    **dict.fromkeys(("nearest_train", "memorised"), "memorisation"),
    **dict.fromkeys(("lpips", "psnr", "ssim", "l1", "nll", "bits_per_dim", "elbo", "high_quality"), "quality"),
    **dict.fromkeys(("class_kl", "mode_kl", "reverse_kl", "mixture_kl", "class_support"), "variety"),
    **dict.fromkeys(("class_agreement", "intra_fid", "density", "code_accuracy"), "quality"),
}
"""The group of each score, the most important scores first. Scores that are not listed come last, as quality."""
MOST = 12
"""Maximum number of scores in the table."""
WIDTH = 110
"""Width of the table in columns if it is not printed to a terminal."""


def print_table(record: RunRecord, system: Game) -> None:
    """Print the most important scores, the time, the contents of the run's folder and how to sample from it."""
    out = console(width=WIDTH)
    cards = _chosen(record)
    if cards:
        out.print(_scores(record, cards))
        out.print(_about(record, cards))
    progress = system.progress
    rate = progress.images_seen / max(progress.seconds, 1e-9)
    out.print(
        f"{progress.images_seen:,} images and {progress.generator_updates:,} generator updates in "
        f"{progress.seconds:,.0f} s ({rate:,.0f} images/s), and {record.evaluation_seconds:,.0f} s of scoring"
    )
    for card in cards:
        if card.note is not None:
            out.print(f"{card.metric}: {card.note}", soft_wrap=True)
        if card.beside is not None and {"input", "mean_target"} <= card.beside.keys():
            own, mean = (short(card.beside[name]) for name in ("input", "mean_target"))
            out.print(f"{card.metric}: {own} for a copy of the input, {mean} for the mean target")
    directory = record.directory
    checkpoint = "best" if (directory / "checkpoints" / "best.ckpt").exists() else "last"
    argument = shlex.quote(f"checkpoint={directory}/checkpoints/{checkpoint}.ckpt")
    what = "n=64" if isinstance(system, Generates) else "inputs=PATH"
    out.print(Text.assemble((str(directory), "bold"), f" holds {', '.join(_contents(directory))}"), soft_wrap=True)
    out.print(f"sample from it:  {program('sample')} {argument} {what}", soft_wrap=True)


def _contents(directory: Path) -> list[str]:
    """Return the contents of a run's directory, folders first."""
    entries = sorted(directory.iterdir(), key=lambda entry: (not entry.is_dir(), entry.name))
    return [f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries if not entry.name.startswith(".")]


def _chosen(record: RunRecord) -> list[ScoreCard]:
    """Return the cards to be shown: the monitored score, and the others in the order of ``FIGURES``."""
    order = list(FIGURES)

    def rank(card: ScoreCard) -> int:
        kind = _kind(card.metric)
        return -1 if card.metric == record.monitor else order.index(kind) if kind is not None else len(order)

    return sorted(record.latest.values(), key=rank)[:MOST]


def _kind(metric: str) -> str | None:
    """Return the name in ``FIGURES`` that a score's name begins with, the longest if there are several, or None."""
    plain = metric.removeprefix(PREFIX)
    fitting = [name for name in FIGURES if plain == name or plain.startswith(f"{name}_")]
    return max(fitting, key=len, default=None)


def _group(card: ScoreCard) -> str:
    return FIGURES.get(_kind(card.metric) or "", GROUPS[0])


def _scores(record: RunRecord, cards: Sequence[ScoreCard]) -> Table:
    sizes = {card.n for card in cards}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("score", overflow="fold")
    for heading in ("untrained", "last", "best", "real", *(["n"] if len(sizes) > 1 else [])):
        table.add_column(heading, justify="right", overflow="fold")
    for group in GROUPS:
        members = [card for card in cards if _group(card) == group]
        if members:
            table.add_row(Text(group, "bold"))
        for card in members:
            first, best = record.first[card.metric], record.best
            is_best = best is not None and best.metric == card.metric
            table.add_row(
                f"  {card.metric}",
                short(first.value) if first.images_seen == 0 else "",
                short(card.value),
                f"{short(best.value)} at {best.images_seen:,}" if is_best and best is not None else "",
                card.real_shown,
                *([f"{card.n:,}"] if len(sizes) > 1 else []),
            )
    return table


def _about(record: RunRecord, cards: Sequence[ScoreCard]) -> str:
    """Return the number of samples, and how many scores are not shown."""
    sizes = {card.n for card in cards}
    samples = f"from {sizes.pop():,} samples; " if len(sizes) == 1 else ""
    more = len(record.latest) - len(cards)
    return f"{samples}{f'{more} more scores and ' if more else ''}all details are in scores.jsonl"
