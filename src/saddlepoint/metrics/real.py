"""The real side of every score: computed once per data set, split and extractor, and kept on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.progress import Progress
from torch import Tensor

from saddlepoint import randomness
from saddlepoint.errors import UserError
from saddlepoint.metrics import cache, catalogue
from saddlepoint.metrics.base import OF_ALL, Collector, Figure, Metric, Sample, permutation
from saddlepoint.metrics.features.base import FeatureExtractor
from saddlepoint.metrics.progress import line
from saddlepoint.metrics.sharpness import blurred, noised
from saddlepoint.types import DataInfo, Split

FORMAT = "3"
"""Raised whenever what is kept, or how it is computed, changes."""
EMBEDDABLE_DIM = 512
EMBEDDABLE_BYTES = 2**24
"""What one metric may add to every checkpoint."""
TRAIN_POOL_FLOATS = 2**27
"""Features of training images that are kept to search in: half a gigabyte, 65,000 images of Inception's."""
CONTROL_ROWS = 2_000
"""Real images that are blurred and noised; the rates taken from them do not depend on their number."""


class RealData(Protocol):
    """What metrics ask of a data set."""

    @property
    def info(self) -> DataInfo:
        """What the data set is."""

    def uint8_batches(self, split: Split, batch_size: int = 500) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield uint8 [N, C, H, W] and labels, long [N] or None, of the whole split in a fixed order."""


class Watched:
    """A data set whose reading shows: which split is read, and how much of it."""

    def __init__(self, real: RealData, progress: Progress, description: str) -> None:
        self.real, self.progress, self.description = real, progress, description
        self.task = progress.add_task(description, total=None)

    @property
    def info(self) -> DataInfo:
        """What the data set is."""
        return self.real.info

    def uint8_batches(self, split: Split, batch_size: int = 500) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield the data set's batches."""
        images_of = f"{self.description}: {split.replace('_', '-')} images"
        self.progress.update(self.task, description=images_of, completed=0, total=self.info.sizes[split])
        for images, labels in self.real.uint8_batches(split, batch_size):
            yield images, labels
            self.progress.advance(self.task, len(images))


def chosen(size: int, n: int, seed: int) -> Tensor:
    """Return a seeded choice of n of ``size`` rows as a mask, bool [size]; a smaller choice lies within a larger."""
    mask = torch.zeros(size, dtype=torch.bool)
    mask[permutation(size, seed, "real rows")[:n]] = True
    return mask


def rows_of(real: RealData, split: Split, n: int, seed: int) -> Iterator[tuple[Tensor, Tensor | None, Tensor]]:
    """Yield a split's batches, each with the indices of its rows that belong to a seeded choice of n, long [k]."""
    mask, start = chosen(real.info.sizes[split], n, seed), 0
    for images, labels in real.uint8_batches(split):
        yield images, labels, mask[start : start + len(images)].nonzero().flatten()
        start += len(images)


@dataclass(frozen=True)
class RealStatistics:
    """What the metrics kept of a real split, and what they say of the held-out one.

    Attributes:
        header: plain values that say what this is about; the cache's key.
        tensors: by ``metric.name``, such as ``fid.mean``.
        held_out: by score name, the held-out split's own value against the reference and its number of images.
    """

    header: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    held_out: Mapping[str, tuple[float, int]]

    @classmethod
    def compute(
        cls,
        real: RealData,
        extractor: FeatureExtractor,
        cache_dir: Path,
        n: int,
        seed: int = 0,
        metrics: Sequence[str] = catalogue.DEFAULT,
        splits: int = 10,
        reference_n: int | None = None,
    ) -> RealStatistics:
        """Compute the train split's statistics, or find them under ``cache_dir/features``.

        Args:
            real: the data set.
            extractor: prepared.
            cache_dir: where results are kept.
            n: the evaluation's number of samples; thresholds hold for it, and the held-out figures rest on as many
                images, or all that there are.
            seed: keys every choice of rows.
            metrics: names, as in :data:`catalogue.METRICS`.
            splits: as for :class:`~saddlepoint.metrics.evaluation.Evaluator`.
            reference_n: how many train images the moments rest on; None means all, as published scores have it.

        Raises:
            UserError: a metric is unknown, or n is below 2.
        """
        if n < 2:
            raise UserError(f"evaluation needs n >= 2 samples, not {n}")
        info, parts = real.info, catalogue.build(metrics, extractor, seed, splits)
        size = min(reference_n or info.sizes["train"], info.sizes["train"])
        header = {
            "kind": "real", "format": FORMAT, "data": info.name, "fingerprint": info.fingerprint, "split": "train",
            "size": size, "features": extractor.name, "version": extractor.version, "resize": extractor.resize,
            "dim": extractor.dim, "n": n, "seed": seed, "splits": splits, "metrics": [part.name for part in parts],
        }  # fmt: skip
        path = cache_dir / "features" / f"real-{extractor.name}-{cache.short_key(header)}.safetensors"
        if (cached := cache.read(path, header)) is not None:
            tensors, facts = cached
            return cls(header, tensors, {name: (value, count) for name, (value, count) in facts.items()})
        for part in parts:
            part.check(info.num_classes, extractor.dim)
        with line(transient=True) as progress:
            real = Watched(real, progress, f"statistics of {info.name} by features={extractor.name}, once")
            train = sample_of(real, "train", extractor, parts, n, seed, size)
            figures: list[Figure] = []
            held_out = None
            if info.sizes["held_out"] > 1:  # a reference folder need not hold anything out
                held_out = sample_of(real, "held_out", extractor, parts, n, seed, n)
            train.held_out = held_out
            train.controls = controls(real, held_out, extractor, parts, n, seed)
            kept = {part.name: part.reference(train) for part in parts}
            if held_out is not None:
                figures = [figure for part in parts for figure in part.figures(held_out, kept[part.name], extractor)]
        tensors = {f"{metric}.{name}": tensor for metric, own in kept.items() for name, tensor in own.items()}
        own_scores = {figure.name: (figure.value, figure.n) for figure in figures}
        cache.write(path, tensors, header, own_scores)
        return cls(header, tensors, own_scores)

    def part(self, metric: Metric) -> dict[str, Tensor]:
        """Return what ``metric`` kept of the real side.

        Raises:
            UserError: it was not among the metrics when this was computed.
        """
        name = metric.name if metric.name in self.header["metrics"] else metric.reads
        if name not in self.header["metrics"]:
            raise UserError(
                f"no real statistics for metric '{metric.name}': only {', '.join(self.header['metrics'])} were kept; "
                "evaluate with the data set at hand to compute them"
            )
        prefix = f"{name}."
        return {name.removeprefix(prefix): t for name, t in self.tensors.items() if name.startswith(prefix)}

    @property
    def reference(self) -> str:
        """The reference as a score card states it, such as ``mnist/train:60000@3fa1b2c4``."""
        header = self.header
        return f"{header['data']}/{header['split']}:{header['size']}@{header['fingerprint'][:8]}"

    @property
    def embeddable(self) -> bool:
        """Whether it is small enough for a checkpoint: up to 512 features, a few megabytes."""
        return bool(self.header["dim"] <= EMBEDDABLE_DIM)

    def state(self) -> dict[str, Any]:
        """Return plain containers and tensors for :meth:`from_state`, less the metrics that are too large to carry."""
        bulk = Counter[str]()
        for name, tensor in self.tensors.items():
            bulk[name.partition(".")[0]] += tensor.nbytes
        small = [metric for metric in self.header["metrics"] if bulk[metric] <= EMBEDDABLE_BYTES]
        tensors = {name: tensor for name, tensor in self.tensors.items() if name.partition(".")[0] in small}
        held_out = {name: list(pair) for name, pair in self.held_out.items()}
        return {"header": {**self.header, "metrics": small}, "tensors": tensors, "held_out": held_out}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> RealStatistics:
        """Rebuild from :meth:`state`, with no data set.

        Raises:
            UserError: another version of the project kept it.
        """
        if state["header"].get("format") != FORMAT:
            raise UserError(
                "the checkpoint's real statistics are of another version: evaluate with the data set at hand"
            )
        held_out = {name: (float(value), int(n)) for name, (value, n) in state["held_out"].items()}
        return cls(dict(state["header"]), dict(state["tensors"]), held_out)


def sample_of(
    real: RealData,
    split: Split,
    extractor: FeatureExtractor,
    metrics: Sequence[Metric],
    rows: int,
    seed: int,
    size: int,
    change: Callable[[Tensor], Tensor] = lambda images: images,
) -> Sample:
    """Pass ``size`` images of a split through the extractor and keep ``rows`` of them; both choices are seeded.

    Where no metric asks for more than these rows, only they pass. ``change`` maps uint8 images to uint8 images before.
    """
    needs = frozenset[Any]().union(*(metric.needs for metric in metrics))
    collector = Collector(needs, extractor.dim, real.info.num_classes)
    kept, start = chosen(real.info.sizes[split], min(rows, size), seed), 0
    searched = chosen(real.info.sizes[split], TRAIN_POOL_FLOATS // extractor.dim, seed)
    pools: list[Tensor] = []
    for images, labels, used in rows_of(real, split, size, seed):
        keep, search = (mask[start : start + len(images)][used].nonzero().flatten() for mask in (kept, searched))
        start += len(images)
        if labels is not None:
            collector.count(labels[used])
        if not needs & OF_ALL:
            used, keep = used[keep], torch.arange(len(keep))
        if len(used):
            batch = change(images[used])
            features = extractor(batch)
            collector.add(batch, features, None if labels is None else labels[used], keep)
            if "train_pool" in needs and split == "train":
                pools.append(features.pool.cpu()[search])
    sample = collector.sample()
    sample.train_pool = torch.cat(pools) if pools else None
    return sample


def controls(
    real: RealData, held_out: Sample | None, extractor: FeatureExtractor, metrics: Sequence[Metric], n: int, seed: int
) -> dict[str, Sample]:
    """Return the real samples that metrics check themselves with: held out, blurred and noised; empty if none asks."""
    asking = [metric for metric in metrics if "controls" in metric.needs]
    if not asking:
        return {}
    split: Split = "train" if held_out is None else "held_out"
    random = randomness.generator("cpu", seed, "noised control")
    rows = min(n, CONTROL_ROWS, real.info.sizes[split])
    changes: dict[str, Callable[[Tensor], Tensor]] = {"blurred": blurred, "noised": lambda x: noised(x, random)}
    found = {name: sample_of(real, split, extractor, asking, rows, seed, rows, by) for name, by in changes.items()}
    return found if held_out is None else {"held_out": held_out, **found}
