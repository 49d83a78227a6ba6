"""``python evaluate.py samples=PATH reference=PATH`` (or ``data=NAME``): scores images in files, with no model.

A path is a folder, a zip file or an ``.npz``; images of every model and tool can be compared this way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from torch import Tensor

from saddlepoint.assembly import build
from saddlepoint.assembly.restore import pick_device
from saddlepoint.data import DataModule
from saddlepoint.data.npz import holds_points, read_points
from saddlepoint.data.sources.image_set import ImageSet
from saddlepoint.data.store import given_path
from saddlepoint.errors import UserError
from saddlepoint.evaluation import pictures as drawing
from saddlepoint.evaluation.base import Settings, cache_directory
from saddlepoint.evaluation.sets import check_servable, default_splits, prepare, reseeded, set_judge
from saddlepoint.evaluation.subject import Subject
from saddlepoint.metrics import catalogue
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.metrics.evaluation import Circumstances, Evaluator, evaluate_vectors
from saddlepoint.metrics.features import FeatureExtractor, InceptionFeatures
from saddlepoint.metrics.real import RealStatistics
from saddlepoint.metrics.rows import permutation
from saddlepoint.revision import git_revision
from saddlepoint.types import DataInfo

WAYS = "reference=PATH, a folder, zip or .npz of real images, or data=NAME"
UNKNOWN = "unknown"


def subject(config: DictConfig, features_off: bool = False) -> Subject:
    """Check what is asked for, and prepare extractor and reference; nothing is sampled and nothing trained.

    Raises:
        UserError: the files cannot be used, do not fit each other, or the question is not clear.
    """
    _check(config)
    path = given_path(config.samples)
    if holds_points(path):
        return _points(config, path)
    if config.reference is not None:
        real = _module(config.reference, config.image_size, config.fit or "pad", splits=True)
        info = _inspected(real, "reference")
    else:
        real, info = build.build_data(config)
    if not info.is_image:
        raise UserError(f"data={info.name} are points, and samples={path} holds none: give an .npz of points [N, D]")
    samples = _fitted(config, info)
    total = samples.info.sizes["train"]
    n = _number(config, total)
    evaluator = _evaluator(config, real, n, features_off)
    check_servable(config.metrics, evaluator)

    judged: list[tuple[Evaluator, int]] = []
    labels = _asked_for(samples, info.class_names)

    def choice(seed: int) -> Tensor:
        return _choice(total, n, seed, config.seed)

    def score(seed: int) -> list[ScoreCard]:
        judged.append((reseeded(evaluator, seed), seed))
        rows = choice(seed)
        wanted = None if labels is None else labels[rows]
        return judged[-1][0].score(_images(samples, rows), wanted, **_circumstances())

    def pictures(cards: Sequence[ScoreCard]) -> Mapping[str, Image.Image]:
        last, seed = judged[-1]
        return drawing.draw(last, cards, lambda indices: _images_at(_images(samples, choice(seed)), indices), real)

    about = {"samples": f"{samples.info.name}:{total}@{samples.info.fingerprint[:8]}", "fit": config.fit}
    return Subject(f"{n:,} images of {path}", Path("scores.jsonl"), score, about, pictures)


def _check(config: DictConfig) -> None:
    if config.checkpoint is not None:
        raise UserError("checkpoint= and samples= are two questions: give one of them")
    if config.samples is None:
        raise UserError("reference= is for samples=PATH; with checkpoint=PATH, say data=image_folder data.root=PATH")
    if (config.reference is None) == (config.get("data") is None):
        raise UserError(f"samples= needs one thing to be held against: {WAYS}")
    if config.reference is None and config.image_size is not None:
        raise UserError("image_size= is the size of reference=PATH; with data=NAME, say data.image_size=")


def _module(path: str, size: Any, fit: str, channels: Any = None, splits: bool = False) -> DataModule:
    """Return the images of a path; without a limit on memory they would be decoded into the user's cache."""
    size = OmegaConf.to_container(size) if OmegaConf.is_config(size) else size
    return DataModule(ImageSet(path, splits), size, fit, channels, memory_limit_gb=0.0)  # type: ignore[arg-type]


def _inspected(data: DataModule, key: str) -> DataInfo:
    """Return what was found in the files; a mistake about their folder names this command's key for it."""
    try:
        return data.inspect()
    except UserError as error:
        raise error.at(key if error.key == "source.root" else error.key) from None


def _fitted(config: DictConfig, real: DataInfo) -> DataModule:
    """Return the samples at the reference's size and channels: as they are, or by the policy that the user states."""
    channels, height, width = real.shape
    if config.fit is not None:
        module = _module(config.samples, [height, width], config.fit, channels)
        _inspected(module, "samples")
        return module
    module = _module(config.samples, None, "pad")
    try:
        found = _inspected(module, "samples").shape
    except UserError as error:
        if error.key != "image_size":
            raise
        raise UserError(error.problem, "samples", _remedy(real)) from None
    if found == real.shape:
        return module
    if found == (1, height, width) and channels == 3:  # gray in RGB is the same picture
        return _module(config.samples, [height, width], "pad", 3)
    has, wants = _size(found), _size(real.shape)
    raise UserError(f"samples={config.samples} are {has}, {real.name} is {wants}", None, _remedy(real))


def _remedy(real: DataInfo) -> str:
    return f"add fit=resize, crop or pad, which brings the samples to {_size(real.shape)}, or save them at that size"


def _size(shape: tuple[int, ...]) -> str:
    channels, height, width = shape
    return f"{height}x{width} of {channels} channel{'s' if channels > 1 else ''}"


def _number(config: DictConfig, total: int) -> int:
    """Return how many samples a score rests on."""
    n: int = config.n or total
    if total < 2:
        raise UserError(f"samples={config.samples} holds {total} image; scores need two")
    if n > total:
        raise UserError(f"n={n} is more than the {total} images of samples={config.samples}; set n={total} or less")
    if config.seeds > 1 and n * config.seeds > total:
        raise UserError(
            f"seeds={config.seeds} takes other images for each seed, and samples={config.samples} holds {total}: "
            f"set n={total // config.seeds} or less"
        )
    return n


def _evaluator(config: DictConfig, real: DataModule, n: int, features_off: bool) -> Evaluator:
    extractor = _extractor(config, features_off).to(pick_device(config.device))
    if config.reference is None:
        return set_judge(extractor, real, Settings(n, config.seed, config.splits, config.metrics)).evaluator
    names, splits = list(config.metrics or catalogue.DEFAULT), config.splits or default_splits(n)
    if n < splits:
        raise UserError(f"n={n} samples cannot be split in {splits}; set splits lower")
    catalogue.build(names, extractor, config.seed, splits)
    nothing_held_out = real.info.sizes["held_out"] == 0
    if extractor.predicts_labels and nothing_held_out:
        raise UserError(
            f"features={extractor.name} is checked on held-out images, and {config.reference} holds out none: name "
            "folders train/ and held_out/ in it, or say data=image_folder data.root=PATH, which holds out a tenth"
        )
    if real.info.sizes["train"] < 2:
        raise UserError(f"reference={config.reference} holds one image; scores need two")
    prepare(extractor, real)
    statistics = RealStatistics.compute(
        real, extractor, cache_directory(), n=n, seed=config.seed, metrics=names, splits=splits
    )
    if nothing_held_out:
        statistics = RealStatistics({**statistics.header, "split": "all"}, statistics.tensors, statistics.held_out)
    return Evaluator(extractor, statistics, names, n=n, seed=config.seed, splits=splits)


def _extractor(config: DictConfig, features_off: bool) -> FeatureExtractor:
    """Return the features that were chosen, else the data set's own, else Inception's: the field's standard."""
    extractor = None if config.get("features") is None else build.build_extractor(config)
    if extractor is None and features_off:
        raise UserError("features=none gives no scores; choose features=inception, classifier or random")
    return extractor or InceptionFeatures()


def _asked_for(samples: DataModule, classes: tuple[str, ...] | None) -> Tensor | None:
    """Return the samples' labels among the reference's classes, by name or else by number, long [N]; None without."""
    labels, names = samples.labels("train"), samples.info.class_names
    if labels is None or names is None or classes is None:
        return None
    if set(names) <= set(classes):
        return torch.tensor([classes.index(name) for name in names])[labels]
    if all(name.isdecimal() and int(name) < len(classes) for name in names):
        return torch.tensor([int(name) for name in names])[labels]
    return None


def _choice(total: int, n: int, seed: int, first: int) -> Tensor:
    """Return n of ``total`` rows in their own order, long [n]; of seeds from ``first`` on, no two share one."""
    start = (seed - first) * n
    return permutation(total, first, "real rows")[start : start + n].sort().values


def _images(samples: DataModule, rows: Tensor) -> Iterator[Tensor]:
    """Yield the images of some rows, long [n] in rising order, as uint8 [B, C, H, W]."""
    start = 0
    for images, _ in samples.uint8_batches("train"):
        here = rows[(rows >= start) & (rows < start + len(images))] - start
        start += len(images)
        if len(here):
            yield images[here]


def _images_at(batches: Iterator[Tensor], indices: Tensor) -> Tensor:
    """Return images by their place among all, uint8 [M, C, H, W]."""
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
    """Score points against a mixture of Gaussians."""
    if config.get("data") is None:
        raise UserError(f"{path} holds points: say data=gaussians data.layout=… to score them against a mixture")
    data, info = build.build_data(config)
    points = torch.from_numpy(read_points(path))
    if info.shape != points.shape[1:]:
        raise UserError(
            f"{path} holds points of {points.shape[1]} dimensions, data={info.name} is of shape {info.shape}"
        )
    source: Any = data.source
    n = _number(config, len(points))

    def score(seed: int) -> list[ScoreCard]:
        rows = _choice(len(points), n, seed, config.seed)
        return evaluate_vectors(points[rows], source.means, float(source.std), info.name, seed, **_circumstances())

    return Subject(f"{n:,} points of {path}", Path("scores.jsonl"), score, {"samples": f"{path.stem}:{len(points)}"})
