"""Statistics of the real data, computed once per data set, split and extractor, and cached on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from torch import Tensor

from saddlepoint import randomness
from saddlepoint.errors import UserError
from saddlepoint.metrics import cache, catalogue
from saddlepoint.metrics.base import OF_ALL, Collector, Figure, Metric, Sample
from saddlepoint.metrics.features.base import FeatureExtractor
from saddlepoint.metrics.frechet import real_root
from saddlepoint.metrics.rows import RealData, selected_batches, selection
from saddlepoint.metrics.sharpness import blurred, noised
from saddlepoint.metrics.status_line import status_line
from saddlepoint.types import DataInfo, Split

FORMAT = "5"
"""Version of the kept statistics; increase it whenever they, or how they are computed, change."""
EMBEDDABLE_DIM = 512
EMBEDDABLE_BYTES = 2**24
"""Size limit of one metric's statistics in a checkpoint."""
TRAIN_POOL_FLOATS = 2**27
"""Limit on the training images' features kept for nearest-neighbour search and kernel distances: half a gigabyte,
65,536 images of Inception's. Of more images, a seeded choice is kept."""
BASELINE_ROWS = 2_000
"""Number of real images that are blurred and noised; the expected collision rates do not depend on it."""


class WithProgress:
    """A data set that reports on a progress display which split is being read, and how much of it."""

    def __init__(self, real: RealData, progress: Progress, description: str) -> None:
        self.real, self.progress, self.description = real, progress, description
        self.task = progress.add_task(description, total=None)

    @property
    def info(self) -> DataInfo:
        """The data set's."""
        return self.real.info

    def uint8_batches(self, split: Split, batch_size: int = 500) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield the data set's batches."""
        images_of = f"{self.description}: {split.replace('_', '-')} images"
        self.progress.update(self.task, description=images_of, completed=0, total=self.info.sizes[split])
        for images, labels in self.real.uint8_batches(split, batch_size):
            yield images, labels
            self.progress.advance(self.task, len(images))


@dataclass(frozen=True)
class RealStatistics:
    """The metrics' references computed from a real split, and the figures of the held-out split against them.

    Attributes:
        header: plain values that identify the statistics; the cache's key.
        tensors: by metric and name, such as ``fid.mean``.
        held_out: by score name, the held-out split's value against the reference and its number of images.
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
        """Return the train split's statistics, computed or read from the cache in ``cache_dir/features``.

        Args:
            real: the data set.
            extractor: prepared.
            cache_dir: the cache's directory.
            n: the evaluation's number of samples, >= 2; thresholds are valid for this number, and the figures of the
                held-out split are computed from as many images, or from all if there are fewer.
            seed: seeds every choice of rows.
            metrics: names, as in :data:`catalogue.METRICS`.
            splits: of n samples, as for :class:`~saddlepoint.metrics.evaluation.Evaluator`; fewer held-out images are
                divided into fewer splits of the same size.
            reference_n: number of train images in the moments; None means all, as in published scores.

        Raises:
            UserError: a metric is unknown, or n is below 2.
        """
        if n < 2:
            raise UserError(f"must be at least 2, got {n}", "n")
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
        with status_line(transient=True) as progress:
            real = WithProgress(real, progress, f"statistics of {info.name} by features={extractor.name}, once")
            train = collect_split(real, "train", extractor, parts, n, seed, size)
            figures: list[Figure] = []
            held_out = None
            if info.sizes["held_out"] > 1:  # a reference folder may have no held-out images
                held_out = collect_split(real, "held_out", extractor, parts, n, seed, n)
            train.held_out = held_out
            train.baselines = baseline_samples(real, held_out, extractor, parts, n, seed)
            kept = {part.name: part.reference(train) for part in parts}
            if held_out is not None:
                own_splits = held_out_splits(splits, n, info.sizes["held_out"])
                figures = [
                    figure
                    for part in catalogue.build(metrics, extractor, seed, own_splits)
                    for figure in part.real_figures(held_out, kept[part.name], extractor)
                ]
        tensors = {f"{metric}.{name}": tensor for metric, own in kept.items() for name, tensor in own.items()}
        own_scores = {figure.name: (figure.value, figure.n) for figure in figures}
        cache.write(path, tensors, header, own_scores)
        return cls(header, tensors, own_scores)

    @classmethod
    def from_moments(
        cls, name: str, fingerprint: str, mean: Tensor, covariance: Tensor, extractor: FeatureExtractor
    ) -> RealStatistics:
        """Return statistics that suffice for Fréchet distances, from moments of unknown images.

        Args:
            name: of the moments, for cards.
            fingerprint: hash of the moments.
            mean: [F].
            covariance: [F, F].
            extractor: the one that they are taken to be of.
        """
        header = {
            "data": name, "fingerprint": fingerprint, "split": "moments", "size": "unknown", "metrics": ["fid"],
            "features": extractor.name, "version": extractor.version, "dim": extractor.dim,
        }  # fmt: skip
        tensors = {"fid.mean": mean.double(), "fid.root": real_root(covariance)}
        return cls(header, tensors, {})

    def of_metric(self, metric: Metric) -> dict[str, Tensor]:
        """Return the reference of ``metric``.

        Raises:
            UserError: it was not among the metrics that these statistics were computed for.
        """
        name = metric.name if metric.name in self.header["metrics"] else metric.reads
        if name not in self.header["metrics"]:
            raise UserError(
                f"no real statistics for metric '{metric.name}', only for {', '.join(self.header['metrics'])}",
                "metrics",
                "evaluate against the data set to compute them",
            )
        prefix = f"{name}."
        return {name.removeprefix(prefix): t for name, t in self.tensors.items() if name.startswith(prefix)}

    @property
    def reference(self) -> str:
        """The reference in the form of a score card, such as ``mnist/train:60000@3fa1b2c4``."""
        header = self.header
        return f"{header['data']}/{header['split']}:{header['size']}@{header['fingerprint'][:8]}"

    @property
    def embeddable(self) -> bool:
        """Whether the statistics are small enough for a checkpoint: up to 512 features, a few megabytes."""
        return bool(self.header["dim"] <= EMBEDDABLE_DIM)

    def state(self) -> dict[str, Any]:
        """Return plain containers and tensors for :meth:`from_state`, without metrics that exceed the size limit."""
        bulk = Counter[str]()
        for name, tensor in self.tensors.items():
            bulk[name.partition(".")[0]] += tensor.nbytes
        small = [metric for metric in self.header["metrics"] if bulk[metric] <= EMBEDDABLE_BYTES]
        tensors = {name: tensor for name, tensor in self.tensors.items() if name.partition(".")[0] in small}
        held_out = {name: list(pair) for name, pair in self.held_out.items()}
        return {"header": {**self.header, "metrics": small}, "tensors": tensors, "held_out": held_out}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> RealStatistics:
        """Return the statistics of :meth:`state`; no data set is needed.

        Raises:
            UserError: the state has another format version.
        """
        if state["header"].get("format") != FORMAT:
            raise UserError(
                f"the checkpoint's real statistics have format {state['header'].get('format')}, not {FORMAT}",
                None,
                "evaluate against the data set",
            )
        held_out = {name: (float(value), int(n)) for name, (value, n) in state["held_out"].items()}
        return cls(dict(state["header"]), dict(state["tensors"]), held_out)


def held_out_splits(splits: int, n: int, held_out: int) -> int:
    """Return how many splits the held-out images are divided into, so that these are as large as those of n samples.

    The Inception Score of smaller splits is lower: it would not be what a perfect generator reaches.

    >>> held_out_splits(10, 50_000, held_out=10_000), held_out_splits(4, 2_000, held_out=325)
    (2, 1)
    """
    return max(1, splits * min(n, held_out) // n)


def collect_split(
    real: RealData,
    split: Split,
    extractor: FeatureExtractor,
    metrics: Sequence[Metric],
    rows: int,
    seed: int,
    size: int,
    change: Callable[[Tensor], Tensor] = lambda images: images,
) -> Sample:
    """Extract the features of ``size`` images of a split and keep ``rows`` of them; both choices are seeded.

    If no metric needs more than the kept rows, only these are passed through the extractor.

    Args:
        real: the data set.
        split: the split.
        extractor: prepared.
        metrics: those that the sample is for.
        rows: number of rows to keep.
        seed: of both choices.
        size: number of images for what is computed from all images.
        change: applied to the uint8 images first; returns uint8.
    """
    needs = frozenset[Any]().union(*(metric.needs for metric in metrics))
    collector = Collector(needs, extractor.dim, real.info.num_classes)
    kept, start = selection(real.info.sizes[split], min(rows, size), seed), 0
    searched = selection(real.info.sizes[split], TRAIN_POOL_FLOATS // extractor.dim, seed)
    pools: list[Tensor] = []
    for images, labels, used in selected_batches(real, split, size, seed):
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


def baseline_samples(
    real: RealData, held_out: Sample | None, extractor: FeatureExtractor, metrics: Sequence[Metric], n: int, seed: int
) -> dict[str, Sample]:
    """Return held-out, blurred and noised real images, or an empty dictionary if no metric needs such baselines."""
    asking = [metric for metric in metrics if "baselines" in metric.needs]
    if not asking:
        return {}
    split: Split = "train" if held_out is None else "held_out"
    random = randomness.generator("cpu", seed, "noised control")
    rows = min(n, BASELINE_ROWS, real.info.sizes[split])
    changes: dict[str, Callable[[Tensor], Tensor]] = {"blurred": blurred, "noised": lambda x: noised(x, random)}
    found = {name: collect_split(real, split, extractor, asking, rows, seed, rows, by) for name, by in changes.items()}
    return found if held_out is None else {"held_out": held_out, **found}
