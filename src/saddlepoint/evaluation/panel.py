"""The choice of a run's judges, by its data and its system's capabilities."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import torch

from saddlepoint.data import DataModule, Gaussians
from saddlepoint.errors import UserError, suggestion
from saddlepoint.evaluation import likelihood, pairs, points
from saddlepoint.evaluation.base import Judge, Panel, Settings, cache_directory
from saddlepoint.evaluation.codes import NAME as CODE_DISTANCE
from saddlepoint.evaluation.codes import PriorJudge
from saddlepoint.evaluation.labels import CodeJudge, NeighbourJudge
from saddlepoint.evaluation.likelihood import LikelihoodJudge
from saddlepoint.evaluation.pairs import ReconstructionJudge, TranslationJudge
from saddlepoint.evaluation.points import PointJudge
from saddlepoint.evaluation.sets import prepare, set_judge
from saddlepoint.evaluation.sharing import Assistant, Generated, Samples, Translated
from saddlepoint.metrics import catalogue
from saddlepoint.metrics.base import OF_LABELS
from saddlepoint.metrics.directions import PREFIX as RECONSTRUCTION
from saddlepoint.metrics.features import FeatureExtractor
from saddlepoint.systems.capabilities import (
    Encodes,
    Generates,
    HasCodePrior,
    HasLikelihood,
    InfersCodes,
    Translates,
)
from saddlepoint.systems.game import Game

CODES = ("code_accuracy", "nearest_neighbour_accuracy", CODE_DISTANCE)


def panel(system: Game, data: DataModule, settings: Settings, extractor: FeatureExtractor | None) -> Panel:
    """Build all judges that apply to a system and its data.

    Args:
        system: the system to evaluate.
        data: the data set to evaluate it on.
        settings: of the evaluation.
        extractor: not yet prepared; None to omit scores that need features.

    Raises:
        UserError: a metric is unknown or not available, the features do not support this data, or no score is computed
            from importance samples that were requested.
    """
    names = None if settings.metrics is None else list(settings.metrics)
    judges = [
        *_likelihood(system, data, settings),
        *_translations(system, data, settings, names),
        *_sets(system, data, settings, names, extractor),
        *_points(system, data, settings),
        *_reconstructions(system, data, settings, names, extractor),
        *_codes(system, data, settings, names),
    ]
    found = Panel(judges)
    check_names(names, found.names)
    return found


def assistants(
    system: Game, data: DataModule, extractor: FeatureExtractor | None, metrics: Sequence[str] | None = None
) -> Panel:
    """Build the judges of ranks other than 0, each of which processes a share of a set of samples.

    Args:
        system: as for :func:`panel`.
        data: likewise.
        extractor: likewise.
        metrics: likewise, of the settings.
    """
    judges: list[Judge] = []
    if extractor is not None and data.info.is_image and _wanted_of_sets(system, metrics) != []:
        judges += [Assistant(samples, type(extractor), cache_directory()) for samples, _ in _sources(system, data)]
    # Rank 0 computes the other scores alone. If it has any, the other ranks need a judge to evaluate at the same times.
    alone = (
        isinstance(system, HasLikelihood)
        or (isinstance(system, Translates) and data.info.aligned)
        or (isinstance(system, Generates) and isinstance(data.source, Gaussians))
        or (isinstance(system, Encodes) and data.info.is_image)
        or isinstance(system, HasCodePrior)
        or (bool(data.info.class_names) and (isinstance(system, Encodes) or _infers_codes(system)))
    )
    return Panel([*judges, Judge()] if alone else judges)


def _likelihood(system: Game, data: DataModule, settings: Settings) -> list[Judge]:
    judge = LikelihoodJudge(data, settings, system.likelihood_is_exact()) if isinstance(system, HasLikelihood) else None
    _check_importance(judge, settings)
    return [judge] if judge is not None and judge.wanted else []


def _check_importance(judge: LikelihoodJudge | None, settings: Settings) -> None:
    """Check that importance samples are requested if a requested score needs them, and only if a score uses them.

    Raises:
        UserError: otherwise.
    """
    bounds = () if judge is None or judge.exact else [name for name in ("nll", "bits_per_dim") if name in judge.wanted]
    if settings.importance and not bounds:
        problem = "applies only to nll and bits_per_dim of models with a bound on the likelihood"
        raise UserError(problem, "importance", "leave it out")
    if settings.metrics and "nll" in bounds and not settings.importance:
        remedy = "run evaluate.py with importance=1000, for example"
        raise UserError("the nll of this model needs importance samples", "metrics", remedy)


def _translations(system: Game, data: DataModule, settings: Settings, names: list[str] | None) -> list[Judge]:
    if not isinstance(system, Translates) or not data.info.aligned:
        return []
    judges: list[Judge] = []
    columns = data.info.columns or {}
    for direction, (source, target) in system.directions.items():
        suffix = _suffix(system, direction)
        figures = pairs.figures_for(columns[target], _of(names, suffix))
        if figures:
            judges.append(TranslationJudge(data, settings, direction, (source, target), suffix, figures))
    return judges


def _sets(
    system: Game, data: DataModule, settings: Settings, names: list[str] | None, extractor: FeatureExtractor | None
) -> list[Judge]:
    if extractor is None or not data.info.is_image:
        return []
    wanted = _wanted_of_sets(system, names)
    if wanted == []:
        return []
    judges: list[Judge] = []
    for samples, suffix in _sources(system, data):
        most = data.size("held_out", samples.source) if isinstance(samples, Translated) else None
        own = replace(settings, metrics=wanted)
        fresh = copy.deepcopy(extractor)  # each set needs features that are prepared for its own images
        judges.append(set_judge(fresh, samples.real(data), own, samples, most, suffix))
    return judges


def _wanted_of_sets(system: Game, names: Sequence[str] | None) -> list[str] | None:
    """Return the metrics of sets of samples that are requested by their names, or by those of their scores.

    Args:
        system: the system, to which the others do not apply.
        names: such as ``fid`` or ``fid_classifier``; None for the default metrics, for which None is returned.
    """
    if names is None:
        return None
    known = sorted(_set_metrics(has_labels(system)), key=len, reverse=True)
    found = (next((one for one in known if f"{name}_".startswith(f"{one}_")), None) for name in names)
    return list(dict.fromkeys(one for one in found if one is not None))


def _sources(system: Game, data: DataModule) -> list[tuple[Samples, str]]:
    """Return the sources of sets of samples, each with the suffix of its scores' names."""
    if isinstance(system, Generates):
        return [(Generated(), "")]
    if isinstance(system, Translates):
        return [(Translated(data, way, *columns), _suffix(system, way)) for way, columns in system.directions.items()]
    return []


def _points(system: Game, data: DataModule, settings: Settings) -> list[Judge]:
    source = data.source
    if not (isinstance(source, Gaussians) and isinstance(system, Generates)):
        return []
    means = torch.as_tensor(source.means, dtype=torch.float32)
    n, seed = settings.n or points.POINTS, settings.seed
    return [PointJudge(means, float(source.std), data.info.name, n, seed, settings.ema)]


def _reconstructions(
    system: Game, data: DataModule, settings: Settings, names: list[str] | None, extractor: FeatureExtractor | None
) -> list[Judge]:
    if not (isinstance(system, Encodes) and data.info.is_image):
        return []
    own = None if names is None else [n.removeprefix(RECONSTRUCTION) for n in names if n.startswith(RECONSTRUCTION)]
    figures = pairs.figures_for(data.info.shape, own)
    features = extractor if own is None or "features" in own else None
    if features is not None:
        prepare(features, data)
    return [ReconstructionJudge(data, settings, figures, features)] if figures or features else []


def _codes(system: Game, data: DataModule, settings: Settings, names: list[str] | None) -> list[Judge]:
    judges: list[Judge] = []
    if isinstance(system, HasCodePrior) and (names is None or CODE_DISTANCE in names):
        judges.append(PriorJudge(data, settings))
    if not data.info.class_names:
        return judges
    if _infers_codes(system) and (names is None or "code_accuracy" in names):
        judges.append(CodeJudge(data, settings))
    if isinstance(system, Encodes) and (names is None or "nearest_neighbour_accuracy" in names):
        judges.append(NeighbourJudge(data, settings))
    return judges


def _infers_codes(system: Game) -> bool:
    """Return whether the system infers discrete codes."""
    return isinstance(system, InfersCodes) and system.has_discrete_codes()


def _suffix(system: Any, direction: str) -> str:
    """Return the suffix of a direction's scores, which is empty if there is only one direction."""
    return f"_{direction}" if len(system.directions) > 1 else ""


def _of(names: Sequence[str] | None, suffix: str) -> list[str] | None:
    """Return the requested names without a direction's suffix; names without a suffix apply to all directions."""
    if names is None:
        return None
    return [name.removesuffix(suffix) if suffix else name for name in names]


def has_labels(system: Game) -> bool:
    """Return whether samples are conditioned on labels."""
    return isinstance(system, Generates) and system.draw_sample_labels(0, 0, 1) is not None


def _set_metrics(labelled: bool) -> list[str]:
    """Return the names of metrics of sets of samples; those of labels only if samples have labels."""
    return [
        score
        for metric in catalogue.METRICS.values()
        if labelled or not metric.needs & OF_LABELS
        for score in (metric.name, *metric.also)
    ]


def check_names(names: Sequence[str] | None, served: Collection[str]) -> None:
    """Check that each requested metric is computed; otherwise it would silently be omitted.

    Args:
        names: the requested metrics, or None.
        served: the names by which the scores can be requested that are computed.

    Raises:
        UserError: a metric is unknown, does not apply to the model and the data, or is one of other features.
    """
    known = [
        *_set_metrics(labelled=True),
        *likelihood.NAMES,
        *pairs.FIGURES,
        *(f"{RECONSTRUCTION}{name}" for name in (*pairs.FIGURES, "features")),
        *CODES,
        *points.NAMES,
    ]
    unserved = []
    for name in names or ():
        base = max((one for one in known if f"{name}_".startswith(f"{one}_")), key=len, default=None)
        if base is None:
            remedy = suggestion(name, known) or f"choose from {', '.join(known)}"
            raise UserError(f"unknown metric '{name}'", "metrics", remedy)
        if name not in served and base in served:
            raise UserError(f"'{name}' is not computed for this model with these features", "metrics", f"use {base}")
        if name not in served:
            unserved.append(name)
    if unserved:
        raise UserError(f"none of {', '.join(unserved)} applies to this model and data", "metrics", "leave it out")
