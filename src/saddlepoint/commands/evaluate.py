"""``python evaluate.py checkpoint=PATH``: scores a checkpoint alone, or against data that is named."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from saddlepoint.commands import build
from saddlepoint.commands.check import check_schema
from saddlepoint.commands.restore import Restored, find, restore
from saddlepoint.commands.schema import EvaluateConfig
from saddlepoint.commands.scoring import (
    ImageScorer,
    PointScorer,
    Scorer,
    cache_directory,
    default_splits,
    image_scorer,
    scoring_of,
)
from saddlepoint.errors import UserError
from saddlepoint.metrics import catalogue
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.metrics.evaluation import Evaluator
from saddlepoint.metrics.features import extractor_from_state
from saddlepoint.metrics.real import RealStatistics
from saddlepoint.tracking.run_directory import append_json_line


def run(config: DictConfig) -> None:
    """Print the scores, and append their cards to ``scores.jsonl``."""
    check_schema(config, EvaluateConfig)
    restored = restore(find(config.checkpoint), config.device, config.plugins)
    named = any(config.get(key) is not None for key in ("data", "features"))
    scorer = _against_data(config, restored) if named else _alone(config, restored)
    since = time.monotonic()
    cards = scorer.score(restored.system)
    path = Path(config.out) if config.out else _run_directory(restored.path) / "scores.jsonl"
    try:
        for card in cards:
            append_json_line(path, {**dataclasses.asdict(card), "checkpoint": restored.path.name})
    except OSError as error:
        raise UserError(f"cannot write to {path}: {error.strerror}; set out to a file that can be written") from None
    _print(cards, restored, path, time.monotonic() - since)


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
    metrics = config.metrics or reference.header["metrics"]
    return ImageScorer(Evaluator(extractor, reference, list(metrics), n, config.seed, splits), config.ema)


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
    return image_scorer(extractor, data, config.n, config.seed, config.splits, config.metrics, config.ema)


def _size(shape: tuple[int, ...]) -> str:
    _, height, width = shape
    return str(height) if height == width else f"[{height},{width}]"


def _run_directory(checkpoint: Path) -> Path:
    return checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent


def _print(cards: list[ScoreCard], restored: Restored, path: Path, seconds: float) -> None:
    progress = restored.system.progress
    table = Table(
        title=f"{restored.about['choices']['model']} after {progress.images_seen:,} images, {restored.path}",
        title_justify="left",
    )
    table.add_column("score")
    for heading in ("value", "", "real", "n"):
        table.add_column(heading, justify="right")
    table.add_column("against")
    for card in cards:
        better = "lower is better" if catalogue.lower_is_better(card.metric) else "higher is better"
        real = "" if card.real is None else f"{card.real:.4g}"
        table.add_row(card.metric, f"{card.value:.4g}", better, real, f"{card.n:,}", card.reference)
    console = Console(width=None if Console().is_terminal else 130)
    console.print(table)
    console.print(f"{seconds:.1f} s; cards appended to {path}", highlight=False, soft_wrap=True)
