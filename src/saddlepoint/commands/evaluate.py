"""``python evaluate.py checkpoint=PATH``: scores a checkpoint alone, or against data that is named.

``python evaluate.py samples=PATH …`` scores files; see :mod:`saddlepoint.commands.files`.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from rich.console import Console
from rich.table import Table

from saddlepoint.commands import build, files, sweep, writing
from saddlepoint.commands.check import check_parts, check_schema
from saddlepoint.commands.restore import Restored, find, restore
from saddlepoint.commands.schema import EvaluateConfig
from saddlepoint.commands.scorers import ImageScorer, PointScorer, Scorer
from saddlepoint.commands.scoring import cache_directory, check_servable, default_splits, image_scorer, scoring_of
from saddlepoint.commands.subject import Subject
from saddlepoint.errors import UserError
from saddlepoint.metrics import catalogue
from saddlepoint.metrics.cards import ScoreCard, short
from saddlepoint.metrics.evaluation import Evaluator
from saddlepoint.metrics.features import FeatureExtractor, extractor_from_state
from saddlepoint.metrics.real import RealStatistics
from saddlepoint.metrics.seeds import over_seeds
from saddlepoint.tracking.run_directory import append_json_line, whole

REMEDY = "set out to a file that can be written"


def run(config: DictConfig) -> None:
    """Print the scores, and append their cards to ``scores.jsonl``."""
    check_schema(config, EvaluateConfig)
    named = {key: config[key] for key in ("data", "features") if config.get(key) is not None}
    check_parts(OmegaConf.create(named), build.PROVIDED, config.plugins)
    if config.out:
        writing.check_appendable(Path(config.out), REMEDY)
    from_files = config.samples is not None or config.reference is not None
    subject = files.subject(config) if from_files else _checkpoint(config)
    path = Path(config.out) if config.out else subject.out
    if not config.out:  # only now it is known
        writing.check_appendable(path, REMEDY)
    since = time.monotonic()
    seeds = range(config.seed, config.seed + config.seeds)
    try:
        runs = [subject.score(seed) for seed in seeds]
    except FloatingPointError as error:
        remedy = "choose an earlier checkpoint, or other samples"
        raise UserError(f"cannot score {subject.title}: {error}; {remedy}") from None
    cards, seconds = over_seeds(runs), time.monotonic() - since
    _print(cards, subject.title, config.seeds)  # before anything is written: a full disk takes no score away
    with writing.explained(path, REMEDY):
        for card in cards:
            values = {"seeds": list(seeds), "values": _values(runs, card.metric)} if len(runs) > 1 else {}
            append_json_line(path, {**dataclasses.asdict(card), **subject.about, **values})
    _say(f"{seconds:.1f} s; cards appended to {path}")
    if names := _save(subject.pictures(runs[-1]), path):
        _say(f"pictures beside it: {', '.join(names)}")


def _save(pictures: Mapping[str, Image.Image], cards: Path) -> list[str]:
    """Save pictures beside the cards, under names that no other job of a sweep gives them."""
    number = sweep.job_number()
    stem = cards.stem if number is None else f"{cards.stem}_{number}"
    places = {cards.with_name(f"{stem}_{name}.png"): picture for name, picture in pictures.items()}
    for place, picture in places.items():
        with writing.explained(place, REMEDY), whole(place) as file:
            picture.save(file, "PNG")
    return [place.name for place in places]


def _say(line: str) -> None:
    Console().print(line, highlight=False, soft_wrap=True)


def _values(runs: list[list[ScoreCard]], metric: str) -> list[float]:
    """Return a score of each seed."""
    return [card.value for run in runs for card in run if card.metric == metric]


def _checkpoint(config: DictConfig) -> Subject:
    if config.fit is not None or config.image_size is not None:
        raise UserError(
            "fit= and image_size= are for samples=PATH; with checkpoint=PATH, say data.fit= or data.image_size="
        )
    restored = restore(find(config.checkpoint), config.device, config.plugins)
    if restored.info.is_image and "features=none" in HydraConfig.get().overrides.task:
        raise UserError(
            "features=none gives no scores; leave features out to score by the run's own, or choose another"
        )
    named = any(config.get(key) is not None for key in ("data", "features"))
    scorer = _against_data(config, restored) if named else _alone(config, restored)
    if isinstance(scorer, ImageScorer):
        check_servable(config.metrics, scorer.evaluator)
    progress = restored.system.progress
    scorers: list[Scorer] = []

    def score(seed: int) -> list[ScoreCard]:
        scorers.append(scorer.at(seed))
        return scorers[-1].score(restored.system)

    return Subject(
        f"{restored.about['choices']['model']} after {progress.images_seen:,} images, {restored.path}",
        _run_directory(restored.path) / "scores.jsonl",
        score,
        {"checkpoint": str(restored.path) if config.out else restored.path.name},  # in its own run the name says it all
        lambda cards: scorers[-1].pictures(restored.system, cards),
    )


def _alone(config: DictConfig, restored: Restored) -> Scorer:
    """Score by the extractor and the statistics that the checkpoint carries."""
    scoring = scoring_of(restored.about)
    n = config.n or scoring["n"]
    if scoring["kind"] == "points":
        return PointScorer(scoring["means"], scoring["std"], scoring["reference"], n, config.seed, config.ema)
    if scoring["reference"] is None:
        name = restored.about["choices"]["data"]
        raise UserError(
            f"the statistics of features={scoring['features']} are too large for a checkpoint: "
            f"add data={name}, so that they are computed or found in the cache"
        )
    extractor = extractor_from_state(scoring["extractor"], cache_directory())
    reference = RealStatistics.from_state(scoring["reference"])
    splits = config.splits or default_splits(n)
    metrics = list(config.metrics or reference.header["metrics"])
    if n != reference.header["n"]:
        metrics = _free_of_n(metrics, extractor, reference.header["n"], asked=config.metrics is not None)
    return ImageScorer(Evaluator(extractor, reference, metrics, n, config.seed, splits), config.ema)


def _free_of_n(names: list[str], extractor: FeatureExtractor, kept: int, *, asked: bool) -> list[str]:
    """Leave out metrics whose kept reference is of another number of images: they would be wrong, and not say so.

    Raises:
        UserError: the user asked for one of them by name.
    """
    bound = [name for name in names if any(m.bound_to_n for m in catalogue.build([name], extractor, 0, 1))]
    if bound and asked:
        raise UserError(
            f"metric '{bound[0]}' compares with as many real images as samples, and the checkpoint keeps n={kept}: "
            "leave n out, or add data=NAME"
        )
    if not (free := [name for name in names if name not in bound]):
        raise UserError(
            f"all metrics of the run compare with as many real images as samples, and the checkpoint keeps n={kept}: "
            "leave n out, or add data=NAME"
        )
    return free


def _against_data(config: DictConfig, restored: Restored) -> Scorer:
    """Score against the data set that is named, or the run's own, by the features that are named, or the run's own."""
    run_config: Any = OmegaConf.create(restored.about["config"])
    if config.get("data") is not None:
        run_config.data = config.data
    if config.get("features") is not None:
        run_config.features = config.features
    run_config.plugins = config.plugins
    data, info = build.build_data(run_config)
    if info.shape != restored.info.shape:
        hint = "choose the data that it was trained on"
        if info.is_image and restored.info.is_image:
            hint = f"set data.image_size={_size(restored.info.shape)} and data.channels={restored.info.shape[0]}"
        raise UserError(
            f"data={info.name} has shape {info.shape}, the checkpoint generates {restored.info.shape}; {hint}"
        )
    if not info.is_image:
        source: Any = data.source
        return PointScorer(source.means, float(source.std), info.name, config.n or 2500, config.seed, config.ema)
    extractor = build.build_extractor(run_config)
    if extractor is None:
        raise UserError("features=none gives no scores; choose features=classifier, inception or random")
    extractor.to(restored.system.device)
    scorer = image_scorer(extractor, data, config.n, config.seed, config.splits, config.metrics, config.ema)
    scorer.judges_labels = info.class_names == restored.info.class_names
    return scorer


def _size(shape: tuple[int, ...]) -> str:
    _, height, width = shape
    return str(height) if height == width else f"[{height},{width}]"


def _run_directory(checkpoint: Path) -> Path:
    return checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent


def _print(cards: list[ScoreCard], title: str, seeds: int) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("score")
    for heading in ("value", f"± over {seeds} seeds" if seeds > 1 else "", "", "real", "n"):
        table.add_column(heading, justify="right")
    table.add_column("against")
    for card in cards:
        better = "lower is better" if catalogue.lower_is_better(card.metric) else "higher is better"
        spread = f"{(card.interval[1] - card.interval[0]) / 2:.2g}" if seeds > 1 and card.interval else ""
        table.add_row(card.metric, short(card.value), spread, better, card.real_shown, f"{card.n:,}", card.reference)
    console = Console(width=None if Console().is_terminal else 130)
    console.print(table)
    for card in cards:
        if card.note:
            console.print(f"{card.metric}: {card.note}", highlight=False, soft_wrap=True)
