"""``python evaluate.py checkpoint=PATH``: scores a checkpoint alone, or on data that is named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from saddlepoint.assembly import build
from saddlepoint.assembly.restore import Restored
from saddlepoint.errors import UserError
from saddlepoint.evaluation.base import Judge, Panel, Settings, cache_directory
from saddlepoint.evaluation.panel import panel
from saddlepoint.evaluation.points import PointJudge
from saddlepoint.evaluation.sets import SetJudge, check_servable, default_splits
from saddlepoint.evaluation.subject import Subject
from saddlepoint.metrics import catalogue
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.metrics.evaluation import Evaluator
from saddlepoint.metrics.features import FeatureExtractor, extractor_from_state
from saddlepoint.metrics.real import RealStatistics


def subject(config: DictConfig, restored: Restored, features_off: bool) -> Subject:
    """Choose what a checkpoint is judged by: the data or features that are named, or what it carries.

    Args:
        config: of ``evaluate.py``.
        restored: the checkpoint.
        features_off: the user chose ``features=none``.

    Raises:
        UserError: nothing can judge it, or the data do not fit it.
    """
    if config.fit is not None or config.image_size is not None:
        raise UserError(
            "fit= and image_size= are for samples=PATH", None, "with checkpoint=PATH, set data.fit or data.image_size"
        )
    named = any(config.get(key) is not None for key in ("data", "features"))
    judge = _on_data(config, restored, features_off) if named or features_off else _alone(config, restored)
    progress = restored.system.progress
    judges: list[Judge] = []

    def score(seed: int) -> list[ScoreCard]:
        judges.append(judge.at(seed))
        return judges[-1].score(restored.system)

    return Subject(
        f"{restored.about['choices']['model']} after {progress.images_seen:,} images, {restored.path}",
        _run_directory(restored.path) / "scores.jsonl",
        score,
        {"checkpoint": str(restored.path) if config.out else restored.path.name},  # in its own run the name says it all
        lambda cards: judges[-1].pictures(restored.system, cards),
    )


def _alone(config: DictConfig, restored: Restored) -> Judge:
    """Judge by the extractor and the statistics that the checkpoint carries."""
    scoring = restored.about.get("scoring")
    data = restored.about["choices"].get("data")
    if scoring is None:
        raise UserError("this checkpoint carries nothing to be scored by", "checkpoint", f"add data={data}")
    n = config.n or scoring["n"]
    if scoring["kind"] == "points":
        return PointJudge(scoring["means"], scoring["std"], scoring["reference"], n, config.seed, config.ema)
    if scoring["reference"] is None:
        raise UserError(
            f"the statistics of features={scoring['features']} are too large for a checkpoint",
            "checkpoint",
            f"add data={data}, so that they are computed or found in the cache",
        )
    extractor = extractor_from_state(scoring["extractor"], cache_directory())
    reference = RealStatistics.from_state(scoring["reference"])
    splits = config.splits or default_splits(n)
    metrics = list(config.metrics or reference.header["metrics"])
    if n != reference.header["n"]:
        metrics = _free_of_n(metrics, extractor, reference.header["n"], asked=config.metrics is not None)
    evaluator = Evaluator(extractor, reference, metrics, n, config.seed, splits)
    check_servable(config.metrics, evaluator)
    return SetJudge(evaluator, ema=config.ema)


def _free_of_n(names: list[str], extractor: FeatureExtractor, kept: int, *, asked: bool) -> list[str]:
    """Leave out metrics whose kept reference is of another number of images: they would be wrong, and not say so.

    Raises:
        UserError: the user asked for one of them by name.
    """
    bound = [name for name in names if any(m.bound_to_n for m in catalogue.build([name], extractor, 0, 1))]
    free = [name for name in names if name not in bound]
    if (bound and asked) or not free:
        what = f"metric '{bound[0]}' compares" if asked else "all metrics of the run compare"
        problem = f"{what} with as many real images as samples, and the checkpoint keeps n={kept}"
        raise UserError(problem, "n", "leave n out, or add data=NAME")
    return free


def _on_data(config: DictConfig, restored: Restored, features_off: bool) -> Panel:
    """Judge on the data set that is named, or the run's own, by the features that are named, or the run's own."""
    run_config: Any = OmegaConf.create(restored.about["config"])
    if config.get("data") is not None:
        run_config.data = config.data
    if config.get("features") is not None or features_off:
        run_config.features = config.features
    run_config.plugins = config.plugins
    data, info = build.build_data(run_config)
    _check_shapes(restored, info.shape, info.columns)
    extractor = build.build_extractor(run_config)
    if extractor is not None:
        extractor.to(restored.system.device)
    settings = Settings(
        config.n, config.seed, config.splits, config.metrics and list(config.metrics), config.ema, config.importance
    )
    judge = panel(restored.system, data, settings, extractor)
    if not judge.judges:
        raise UserError("features=none gives no scores here", "features", "use classifier, inception or random")
    for one in judge.judges:
        if isinstance(one, SetJudge):
            one.judges_labels = info.class_names == restored.info.class_names
    return judge


def _check_shapes(restored: Restored, shape: tuple[int, ...], columns: Mapping[str, Any] | None) -> None:
    info = restored.info
    if (columns is None) != (info.columns is None) or (columns and set(columns) != set(info.columns or ())):
        theirs = f"columns {', '.join(info.columns)}" if info.columns else "single images"
        raise UserError(f"the checkpoint was trained on {theirs}", "data", "choose data of the same kind")
    if shape == info.shape and columns == info.columns:
        return
    hint = "choose the data that it was trained on"
    if len(shape) == 3 and info.is_image:
        hint = f"set data.image_size={_size(info.shape)} and data.channels={info.shape[0]}"
    raise UserError(f"the data has shape {shape}, the checkpoint makes {info.shape}", "data", hint)


def _size(shape: tuple[int, ...]) -> str:
    _, height, width = shape
    return str(height) if height == width else f"[{height},{width}]"


def _run_directory(checkpoint: Path) -> Path:
    return checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent
