"""``python evaluate.py samples=PATH reference=PATH`` (or ``data=NAME``): scores images in files, without a model.

A path is a folder, a zip file or an ``.npz``, so that images from any model or tool can be compared. A reference can
also be an ``.npz`` with the mean and covariance of features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from torch import Tensor

from saddlepoint.assembly import build
from saddlepoint.assembly.restore import pick_device
from saddlepoint.data import DataModule
from saddlepoint.data.npz import holds_moments, holds_points, read_points
from saddlepoint.data.sources.image_set import ImageSet
from saddlepoint.data.store import given_path
from saddlepoint.errors import UserError
from saddlepoint.evaluation import embedding, moments
from saddlepoint.evaluation import pictures as diagrams
from saddlepoint.evaluation.base import Settings, cache_directory
from saddlepoint.evaluation.panel import check_names
from saddlepoint.evaluation.points import NAMES as POINT_SCORES
from saddlepoint.evaluation.sets import check_servable, default_splits, prepare, reseeded, set_judge
from saddlepoint.evaluation.subject import Subject
from saddlepoint.metrics import catalogue
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.metrics.evaluation import Circumstances, Evaluator, evaluate_vectors
from saddlepoint.metrics.features import FeatureExtractor, InceptionFeatures
from saddlepoint.metrics.real import RealStatistics
from saddlepoint.metrics.rows import permutation
from saddlepoint.revision import git_revision
from saddlepoint.terminal import say
from saddlepoint.types import DataInfo

UNKNOWN = "unknown"


def subject(config: DictConfig, features_off: bool = False) -> Subject:
    """Check the config, and prepare the extractor and the reference.

    Raises:
        UserError: the config is incomplete or contradictory, or the files cannot be used or do not match each other.
    """
    _check(config)
    path = given_path(config.samples)
    if holds_points(path):
        return _points(config, path)
    real = _reference(config)
    samples, fit = _unfitted(config) if real is None else _fitted(config, real)
    if real is not None:
        say(real.summary())
    say(samples.summary())
    total = samples.info.sizes["train"]
    n = _number(config, total)
    evaluator = _evaluator(config, real, samples, n, features_off)
    labels = None if real is None else _conditions(samples, real.info.class_names, numbered=path.suffix == ".npz")
    check_servable(config.metrics, evaluator, labels is not None)

    judged: list[tuple[Evaluator, int]] = []

    def choice(seed: int) -> Tensor:
        return _choice(total, n, seed, config.seed)

    def score(seed: int, _: float) -> list[ScoreCard]:
        judged.append((reseeded(evaluator, seed), seed))
        rows = choice(seed)
        wanted = None if labels is None else labels[rows]
        cards = judged[-1][0].score(_images(samples, rows), wanted, **_circumstances())
        return cards if real is not None else [replace(card, note=moments.NOTE) for card in cards]

    def pictures(cards: Sequence[ScoreCard]) -> Mapping[str, Image.Image]:
        last, seed = judged[-1]

        def images_at(indices: Tensor) -> Tensor:
            return _images_at(_images(samples, choice(seed)), indices)

        drawn = diagrams.draw(last, cards, images_at, real)
        if config.embedding is not None and real is not None:
            images = images_at(torch.arange(min(n, embedding.MOST)))
            drawn[config.embedding] = embedding.draw(config.embedding, last.extractor, images, real, seed)
        return drawn

    about = {"samples": f"{samples.info.name}:{total}@{samples.info.fingerprint[:8]}", "fit": fit}
    return Subject(f"{n:,} images of {path}", Path("scores.jsonl"), score, about, pictures)


def _check(config: DictConfig) -> None:
    if config.checkpoint is not None:
        raise UserError("checkpoint and samples are mutually exclusive", "samples", "give one of them")
    of_models = {"truncation": 1, "batchnorm": "running", "ema": True, "importance": 0}
    for key, default in of_models.items():
        if config[key] != default:
            raise UserError("applies only to checkpoint=PATH", key, "leave it out")
    if config.samples is None:
        remedy = "with checkpoint=PATH, set data=image_folder data.root=PATH"
        raise UserError("applies only to samples=PATH", "reference", remedy)
    if (config.reference is None) == (config.get("data") is None):
        remedy = "give either reference=PATH, a folder, zip or .npz of real images, or data=NAME"
        raise UserError("needs exactly one reference", "samples", remedy)
    if config.embedding is not None and config.reference is not None and holds_moments(given_path(config.reference)):
        raise UserError("a mean and covariance have no images to show", "embedding", "leave it out")
    if config.reference is None and config.image_size is not None:
        raise UserError("applies only to reference=PATH", "image_size", "with data=NAME, set data.image_size")


def _reference(config: DictConfig) -> DataModule | None:
    """Return the reference's images, inspected; None if it consists of moments."""
    if config.reference is None:
        real, info = build.build_data(config)
        if not info.is_image:
            problem = f"{info.name} is a data set of points, and {config.samples} contains none"
            raise UserError(problem, "samples", "give an .npz with points, float [N, D]")
        return real
    if holds_moments(given_path(config.reference)):
        return None
    real = _module(config.reference, config.image_size, config.fit or "pad", splits=True)
    _inspected(real, "reference")
    return real


def _module(path: str, size: Any, fit: str, channels: Any = None, splits: bool = False) -> DataModule:
    """Return the images of a path; the memory limit of 0 keeps them from being decoded into the user's cache."""
    size = OmegaConf.to_container(size) if OmegaConf.is_config(size) else size
    return DataModule(ImageSet(path, splits), size, fit, channels, memory_limit_gb=0.0)  # type: ignore[arg-type]


def _inspected(data: DataModule, key: str) -> DataInfo:
    """Return the description of the files; an error that concerns their path gets the key ``key``."""
    try:
        return data.inspect()
    except UserError as error:
        raise error.at(key if error.key == "source.root" else error.key) from None


def _unfitted(config: DictConfig) -> tuple[DataModule, str | None]:
    """Return the samples at their own size, or at ``image_size`` by the user's policy, and the policy for the card."""
    if config.image_size is None and config.fit is not None:
        raise UserError("a mean and covariance have no size to fit samples to", "fit", "set image_size as well")
    fit = None if config.image_size is None else config.fit or "pad"
    samples = _module(config.samples, config.image_size, fit or "pad")
    _, height, width = _inspected(samples, "samples").shape
    return samples, None if fit is None else f"{fit} to {height}x{width}"


def _fitted(config: DictConfig, reference: DataModule) -> tuple[DataModule, str | None]:
    """Return the samples at the reference's size and channels, and how they were fitted, for the card.

    They are unchanged, or fitted by the user's policy, or as the reference's own images if they have the native size of
    these.
    """
    real = reference.info
    channels, height, width = real.shape
    size = [height, width]
    if config.fit is not None:
        module = _module(config.samples, size, config.fit, channels)
        _inspected(module, "samples")
        return module, config.fit
    module = _module(config.samples, None, "pad", 4 if channels == 4 else None)  # alpha is kept on request
    try:
        found = _inspected(module, "samples").shape
    except UserError as error:
        if error.key != "image_size":
            raise
        raise UserError(error.problem, "samples", _remedy(real)) from None
    if found == real.shape:
        return module, None
    if found[0] in (channels, 1):  # converting gray to RGB does not change an image
        if found[1:] == (height, width):
            return _module(config.samples, size, "pad", channels), None
        if found[1:] == reference.native_size():
            fitted = _module(config.samples, size, reference.policy, channels)
            return fitted, f"{reference.policy} from {found[1]}x{found[2]}, as {real.name}"
    problem = f"images of {config.samples} are {_size(found)}, those of {real.name} {_size(real.shape)}"
    raise UserError(problem, "samples", _remedy(real))


def _remedy(real: DataInfo) -> str:
    return f"set fit to resize, crop or pad to fit the samples to {_size(real.shape)}, or save them at that size"


def _size(shape: tuple[int, ...]) -> str:
    channels, height, width = shape
    return f"{height}x{width} with {channels} channel{'s' if channels > 1 else ''}"


def _number(config: DictConfig, total: int) -> int:
    """Return the number of samples that a score is computed from."""
    n: int = config.n or total
    if total < 2:
        raise UserError(f"{config.samples} contains {total} sample(s), and scores need two", "samples", "add some")
    if n > total:
        raise UserError(f"{n} is more than the {total} samples in {config.samples}", "n", f"set it to {total} or less")
    if config.seeds > 1 and n * config.seeds > total:
        problem = f"{config.seeds} disjoint sets of {n} are more than the {total} samples in {config.samples}"
        raise UserError(problem, "seeds", f"set n to {total // config.seeds} or less")
    return n


def _evaluator(
    config: DictConfig, real: DataModule | None, samples: DataModule, n: int, features_off: bool
) -> Evaluator:
    extractor = _extractor(config, features_off).to(pick_device(config.device))
    if real is None:
        prepared = moments.statistics(given_path(config.reference), samples, extractor, config.metrics)
        return Evaluator(extractor, prepared, config.metrics or ("fid",), n, config.seed)
    if config.reference is None:
        return set_judge(extractor, real, Settings(n, config.seed, config.splits, config.metrics)).evaluator
    names, splits = list(config.metrics or catalogue.DEFAULT), config.splits or default_splits(n)
    if n < splits:
        raise UserError(f"{n} samples cannot be split into {splits} parts", "splits", "reduce it")
    catalogue.build(names, extractor, config.seed, splits)
    nothing_held_out = real.info.sizes["held_out"] == 0
    if (extractor.predicts_labels or extractor.counts_modes) and nothing_held_out:
        raise UserError(
            f"the {extractor.name} is tested on held-out images, and {config.reference} has none",
            "features",
            "make folders train/ and held_out/ in it, or set data=image_folder data.root=PATH, which holds out a tenth",
        )
    if real.info.sizes["train"] < 2:
        raise UserError(f"{config.reference} contains one image, and scores need two", "reference", "add images")
    prepare(extractor, real)
    statistics = RealStatistics.compute(
        real, extractor, cache_directory(), n=n, seed=config.seed, metrics=names, splits=splits
    )
    if nothing_held_out:
        statistics = RealStatistics({**statistics.header, "split": "all"}, statistics.tensors, statistics.held_out)
    return Evaluator(extractor, statistics, names, n=n, seed=config.seed, splits=splits)


def _extractor(config: DictConfig, features_off: bool) -> FeatureExtractor:
    """Return the chosen extractor, by default Inception."""
    extractor = None if config.get("features") is None else build.build_extractor(config)
    if extractor is None and features_off:
        raise UserError("there are no scores without features", "features", "choose classifier, inception or random")
    return extractor or InceptionFeatures()


def _conditions(samples: DataModule, classes: tuple[str, ...] | None, numbered: bool) -> Tensor | None:
    """Return the samples' labels as indices of the reference's classes, long [N].

    None if the samples or the reference have no labels, or if they do not match.

    Args:
        samples: the samples.
        classes: the reference's.
        numbered: whether the samples' labels are numbers of classes, as in an ``.npz``. Names of folders are matched
            with those of the classes, or else are numbers too.
    """
    labels, names = samples.labels("train"), samples.info.class_names
    if labels is None or names is None or classes is None:
        return None
    if not numbered and set(names) <= set(classes):
        return torch.tensor([classes.index(name) for name in names])[labels]
    if all(name.isdecimal() and int(name) < len(classes) for name in names):
        return torch.tensor([int(name) for name in names])[labels]
    return None


def _choice(total: int, n: int, seed: int, first: int) -> Tensor:
    """Return n of ``total`` row indices, ascending, long [n]; those of seeds from ``first`` on are disjoint."""
    start = (seed - first) * n
    return permutation(total, first, "real rows")[start : start + n].sort().values


def _images(samples: DataModule, rows: Tensor) -> Iterator[Tensor]:
    """Yield the images of ``rows``, long [n] in ascending order, as uint8 [B, C, H, W]."""
    start = 0
    for images, _ in samples.uint8_batches("train"):
        here = rows[(rows >= start) & (rows < start + len(images))] - start
        start += len(images)
        if len(here):
            yield images[here]


def _images_at(batches: Iterator[Tensor], indices: Tensor) -> Tensor:
    """Return the images of these indices, uint8 [M, C, H, W]."""
    found: dict[int, Tensor] = {}
    start = 0
    wanted = set(indices.tolist())
    for images in batches:
        found |= {start + i: image for i, image in enumerate(images) if start + i in wanted}
        start += len(images)
    return torch.stack([found[index] for index in indices.tolist()])


def _circumstances() -> Circumstances:
    return Circumstances(
        ema=None, batchnorm=UNKNOWN, labels=UNKNOWN, images_seen=0, generator_updates=0, revision=git_revision()
    )


def _points(config: DictConfig, path: Path) -> Subject:
    """Prepare the evaluation of points against a mixture of Gaussians."""
    if config.get("data") is None:
        remedy = "set data=gaussians data.layout=… to compare them with a mixture"
        raise UserError(f"{path} contains points", "samples", remedy)
    check_names(config.metrics, POINT_SCORES)
    data, info = build.build_data(config)
    points = torch.from_numpy(read_points(path))
    if info.shape != points.shape[1:]:
        problem = f"points of {path} have shape {tuple(points.shape[1:])}, samples of {info.name} {info.shape}"
        raise UserError(problem, "samples", "choose a data set of such points")
    source: Any = data.source
    n = _number(config, len(points))

    def score(seed: int, _: float) -> list[ScoreCard]:
        rows = _choice(len(points), n, seed, config.seed)
        return evaluate_vectors(points[rows], source.means, float(source.std), info.name, seed, **_circumstances())

    return Subject(f"{n:,} points of {path}", Path("scores.jsonl"), score, {"samples": f"{path.stem}:{len(points)}"})
