"""``python evaluate.py checkpoint=PATH``: scores a checkpoint by the statistics that it contains, or on a data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from saddlepoint.assembly import build
from saddlepoint.assembly.restore import Restored
from saddlepoint.errors import UserError
from saddlepoint.evaluation.base import Judge, Panel, Settings, cache_directory
from saddlepoint.evaluation.drawing import RUNNING, Drawing, truncations
from saddlepoint.evaluation.panel import check_names, has_labels, panel
from saddlepoint.evaluation.points import PointJudge
from saddlepoint.evaluation.sets import SetJudge, check_servable, default_splits
from saddlepoint.evaluation.subject import Subject
from saddlepoint.metrics import catalogue
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.metrics.evaluation import Evaluator
from saddlepoint.metrics.features import FeatureExtractor, extractor_from_state
from saddlepoint.metrics.real import RealStatistics
from saddlepoint.terminal import say
from saddlepoint.tracking.wandb_artifact import PREFIX


def subject(config: DictConfig, restored: Restored, features_off: bool) -> Subject:
    """Prepare the evaluation of a checkpoint by the given data or features, or by the statistics that it contains.

    Args:
        config: of ``evaluate.py``.
        restored: the checkpoint.
        features_off: the user chose ``features=none``.

    Raises:
        UserError: the checkpoint cannot be scored, or the data do not fit it.
    """
    for key in ("fit", "image_size"):
        if config[key] is not None:
            raise UserError("applies only to samples=PATH", key, f"with checkpoint=PATH, set data.{key}")
    named = any(config.get(key) is not None for key in ("data", "features"))
    several = len(truncations(config.truncation)) > 1
    if config.embedding is not None and not named:
        raise UserError("it shows a data set's images", "embedding", "add data=NAME")
    if config.embedding is not None and several:
        raise UserError("it is for one truncation", "embedding", "leave it out")
    if config.importance and not named:
        raise UserError("likelihoods are those of a data set's images", "importance", "add data=NAME")
    for truncation in truncations(config.truncation):
        Drawing(truncation, config.batchnorm).check(restored.system)
    judge = _on_data(config, restored, features_off) if named or features_off else _alone(config, restored)
    progress = restored.system.progress
    judges: list[Judge] = []

    def score(seed: int, truncation: float) -> list[ScoreCard]:
        drawing = Drawing(truncation, config.batchnorm)
        one = judge if drawing == RUNNING and not several else judge.drawn(drawing)
        if one is None:
            key = "batchnorm" if truncation == 1 else "truncation"
            raise UserError("no score of samples from noise depends on it", key, "leave it out")
        judges.append(one.at(seed))
        cards = judges[-1].score(restored.system)
        if not cards and config.metrics:
            problem = f"{', '.join(config.metrics)}: no score for this model and these data"
            raise UserError(problem, "metrics", "leave it out")
        return cards

    name = str(restored.path) if config.out else restored.path.name  # the name suffices beside its run
    place = _run_directory(restored.path) / "scores.jsonl"
    if config.checkpoint.startswith(PREFIX):  # its file is in the cache
        name, place = config.checkpoint, Path("scores.jsonl")
    return Subject(
        f"{restored.about['choices']['model']} after {progress.images_seen:,} images, {restored.path}",
        place,
        score,
        {"checkpoint": name},
        lambda cards: judges[-1].pictures(restored.system, cards),
    )


def _alone(config: DictConfig, restored: Restored) -> Judge:
    """Return the judge with the extractor and the statistics that the checkpoint contains."""
    scoring = restored.about.get("scoring")
    data = restored.about["choices"].get("data")
    if scoring is None:
        problem = f"{restored.path} contains no statistics of real data"
        raise UserError(problem, "checkpoint", f"add data={data}")
    n = config.n or scoring["n"]
    if scoring["kind"] == "points":
        check_names(config.metrics, PointJudge.names)
        return PointJudge(scoring["means"], scoring["std"], scoring["reference"], n, config.seed, config.ema)
    too_large = UserError(
        f"the real statistics of features={scoring['features']} are too large for checkpoints",
        "checkpoint",
        f"add data={data} to compute them or read them from the cache",
    )
    if scoring["reference"] is None:
        raise too_large
    extractor = extractor_from_state(scoring["extractor"], cache_directory())
    reference = RealStatistics.from_state(scoring["reference"])
    if not reference.header["metrics"]:
        raise too_large
    splits = config.splits or default_splits(n)
    metrics = list(config.metrics or reference.header["metrics"])
    if n != reference.header["n"]:
        metrics = _independent_of_n(metrics, extractor, reference.header["n"], requested=config.metrics is not None)
    evaluator = Evaluator(extractor, reference, metrics, n, config.seed, splits)
    check_servable(config.metrics, evaluator, has_labels(restored.system))
    return SetJudge(evaluator, ema=config.ema)


def _independent_of_n(names: list[str], extractor: FeatureExtractor, n: int, *, requested: bool) -> list[str]:
    """Return the metrics without those that would be wrong because the checkpoint's reference has another n.

    Args:
        names: of metrics.
        extractor: the checkpoint's.
        n: of the checkpoint's reference.
        requested: whether the user named the metrics.

    Raises:
        UserError: the user requested one of the omitted metrics, or none is left.
    """
    bound = [name for name in names if any(m.bound_to_n for m in catalogue.build([name], extractor, 0, 1))]
    free = [name for name in names if name not in bound]
    if (bound and requested) or not free:
        what = f"metric '{bound[0]}' needs" if requested else "all metrics of the run need"
        problem = f"{what} as many real images as samples, and the checkpoint has statistics for n={n}"
        raise UserError(problem, "n", "leave it out, or add data=NAME")
    return free


def _on_data(config: DictConfig, restored: Restored, features_off: bool) -> Panel:
    """Return the judges for the given data set and features; what is not given is the run's own."""
    run_config: Any = OmegaConf.create(restored.about["config"])
    if config.get("data") is not None:
        run_config.data = config.data
    if config.get("features") is not None or features_off:
        run_config.features = config.features
    run_config.plugins = config.plugins
    data, info = build.build_data(run_config)
    say(data.summary())
    _check_shapes(restored, info.shape, info.columns)
    extractor = build.build_extractor(run_config)
    if extractor is not None:
        extractor.to(restored.system.device)
    settings = Settings(
        config.n, config.seed, config.splits, config.metrics and list(config.metrics), config.ema, config.importance
    )
    judge = panel(restored.system, data, settings, extractor)
    if not judge.judges:
        raise UserError("there are no scores without features", "features", "choose classifier, inception or random")
    sets = [one for one in judge.judges if isinstance(one, SetJudge)]
    if config.embedding is not None and not sets:
        raise UserError("no score of features of samples is computed", "embedding", "leave it out")
    for one in sets:
        one.judges_labels = info.class_names == restored.info.class_names
        if config.metrics and not one.judges_labels:
            check_servable([metric.name for metric in one.evaluator.metrics], one.evaluator, labelled=False)
        one.embedding = config.embedding
    return judge


def _check_shapes(restored: Restored, shape: tuple[int, ...], columns: Mapping[str, Any] | None) -> None:
    info = restored.info
    if (columns is None) != (info.columns is None) or (columns and set(columns) != set(info.columns or ())):
        theirs = f"columns {', '.join(info.columns)}" if info.columns else "single images"
        raise UserError(f"the checkpoint was trained on {theirs}", "data", "choose data of the same kind")
    if shape == info.shape and columns == info.columns:
        return
    remedy = "choose the data that it was trained on"
    if len(shape) == 3 and info.is_image:
        remedy = f"set data.image_size={_size(info.shape)} and data.channels={info.shape[0]}"
    raise UserError(f"the data has shape {shape}, but the checkpoint was trained on {info.shape}", "data", remedy)


def _size(shape: tuple[int, ...]) -> str:
    _, height, width = shape
    return str(height) if height == width else f"[{height},{width}]"


def _run_directory(checkpoint: Path) -> Path:
    return checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent
