"""``python evaluate.py checkpoint=PATH`` or ``samples=PATH``: prints scores and appends the score cards to a file."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from PIL import Image
from rich.table import Table

from saddlepoint import writing
from saddlepoint.commands import sweep
from saddlepoint.errors import UserError
from saddlepoint.evaluation.choice import subject_of
from saddlepoint.evaluation.drawing import truncations
from saddlepoint.metrics.cards import ScoreCard, short
from saddlepoint.metrics.directions import lower_is_better
from saddlepoint.metrics.seeds import over_seeds
from saddlepoint.terminal import console, say
from saddlepoint.tracking.truncation import scores_by_truncation
from saddlepoint.writing import append_json_line, whole

REMEDY = "set out to a file that can be written"
BETTER = {True: "lower is better", False: "higher is better", None: "near 0 is better"}


def run(config: DictConfig) -> None:
    """Print the scores and append the score cards to ``scores.jsonl``."""
    if config.out:
        writing.check_appendable(Path(config.out), REMEDY)
    subject = subject_of(config, HydraConfig.get().runtime.choices.get("features") == "none")
    path = Path(config.out) if config.out else subject.out
    if not config.out:  # the default depends on the subject
        writing.check_appendable(path, REMEDY)
    since = time.monotonic()
    seeds, chosen = range(config.seed, config.seed + config.seeds), truncations(config.truncation)
    try:
        by_truncation = [[subject.score(seed, truncation) for seed in seeds] for truncation in chosen]
    except FloatingPointError as error:
        remedy = "choose an earlier checkpoint, or other samples"
        raise UserError(f"cannot score {subject.title}: {error}", None, remedy) from None
    scored = [(card, runs) for runs in by_truncation for card in over_seeds(runs)]
    cards, seconds = [card for card, _ in scored], time.monotonic() - since
    try:
        with writing.explained(path, REMEDY):
            for card, runs in scored:
                values = {"seeds": list(seeds), "values": _values(runs, card.metric)} if len(seeds) > 1 else {}
                append_json_line(path, {**dataclasses.asdict(card), **subject.about, **values})
    finally:  # the scores are printed even if the disk is full
        _print(cards, subject.title, config.seeds)
    say(f"{seconds:.1f} s; cards appended to {path}")
    curves = len(chosen) > 1
    pictures = {"truncation": scores_by_truncation(cards)} if curves else subject.pictures(by_truncation[0][-1])
    if names := _save(pictures, path):
        say(f"pictures beside it: {', '.join(names)}")


def _save(pictures: Mapping[str, Image.Image], cards: Path) -> list[str]:
    """Save pictures beside the cards; in a sweep, their names contain the job's number."""
    number = sweep.job_number()
    stem = cards.stem if number is None else f"{cards.stem}_{number}"
    places = {cards.with_name(f"{stem}_{name}.png"): picture for name, picture in pictures.items()}
    for place, picture in places.items():
        with writing.explained(place, REMEDY), whole(place) as file:
            picture.save(file, "PNG")
    return [place.name for place in places]


def _values(runs: list[list[ScoreCard]], metric: str) -> list[float]:
    """Return the values of a metric, one per seed."""
    return [card.value for run in runs for card in run if card.metric == metric]


def _print(cards: list[ScoreCard], title: str, seeds: int) -> None:
    table = Table(title=title, title_justify="left")
    truncated = any(card.truncation is not None for card in cards)
    names = list(dict.fromkeys(card.metric for card in cards))
    cards = sorted(cards, key=lambda card: names.index(card.metric))  # the truncations of a score are together
    table.add_column("score")
    if truncated:
        table.add_column("truncation", justify="right")
    for heading in ("value", *([f"± over {seeds} seeds"] if seeds > 1 else []), "", "real", "n"):
        table.add_column(heading, justify="right")
    table.add_column("against")
    for card in cards:
        better = BETTER[lower_is_better(card.metric)]
        spread = [f"{(card.interval[1] - card.interval[0]) / 2:.2g}" if card.interval else ""] if seeds > 1 else []
        truncation = [f"{card.truncation or 1:g}"] if truncated else []
        values = [short(card.value), *spread, better, card.real_shown, f"{card.n:,}", card.reference]
        table.add_row(card.metric, *truncation, *values)
    out = console(width=130)
    out.print(table)
    for card in cards:
        if card.note:
            at = f", truncation {card.truncation or 1:g}" if truncated else ""
            out.print(f"{card.metric}{at}: {card.note}", soft_wrap=True)
