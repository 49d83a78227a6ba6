"""What a metric is: what it keeps of a stream of images, what it asks of the real side, and what it makes of both."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from saddlepoint import randomness
from saddlepoint.metrics.moments import Moments
from saddlepoint.metrics.sharpness import look

if TYPE_CHECKING:
    from saddlepoint.metrics.features.base import FeatureExtractor, Features

Need = Literal[
    "moments",
    "pool",
    "logits",
    "pixels",
    "labels",
    "label_counts",
    "class_moments",
    "sharpness",
    "controls",
    "train_pool",
]
"""What a pass over images can leave behind; it keeps no more than the metrics ask for."""

OF_ALL: frozenset[Need] = frozenset({"moments", "class_moments", "train_pool"})
"""What rests on all images of a pass; everything else rests on the rows that are kept."""

PIXELS_SIDE = 32
"""Pixels are compared at no more than this many a side: enough to tell copies, and 50,000 images stay affordable."""


@dataclass
class Sample:
    """What one pass over images leaves behind for the metrics.

    Attributes:
        moments: of the pooled features of *all* images of the pass.
        pool: features of the kept rows, float32 [M, F], on the CPU like all rows.
        logits: float32 [M, K].
        pixels: uint8 [M, D], averaged down to at most 32 a side.
        labels: long [M], true ones or those that a generator was asked for; None where there are none.
        label_counts: long [K], the true labels of all images; None where there are none.
        class_moments: as ``moments``, of each class's images by its label; None where there are no labels.
        sharpness: float32 [M, 2], log-sharpness and log-contrast at the images' own size, by
            :func:`~saddlepoint.metrics.sharpness.look`.
        controls: by name, further real samples that a real one is checked with: "held_out", "blurred", "noised".
        train_pool: of the train split alone, the features of all images, or of as many as fit half a gigabyte.
        held_out: of the train split alone, the held-out images.
    """

    moments: Moments | None = None
    pool: Tensor | None = None
    logits: Tensor | None = None
    pixels: Tensor | None = None
    label_counts: Tensor | None = None
    sharpness: Tensor | None = None
    controls: Mapping[str, Sample] = field(default_factory=dict)
    labels: Tensor | None = None
    class_moments: Mapping[int, Moments] | None = None
    train_pool: Tensor | None = None
    held_out: Sample | None = None


def part_of(sample: Sample, rows: Tensor) -> Sample:
    """Return a sample of these rows, long [M]; what rests on all images stays."""
    all_rows = {name: getattr(sample, name) for name in ("pool", "logits", "pixels", "labels", "sharpness")}
    return dataclasses.replace(sample, **{name: of[rows] for name, of in all_rows.items() if of is not None})


@dataclass(frozen=True)
class Figure:
    """One number that a metric found, before its card.

    Attributes:
        name: the score's full name, such as ``fid_classifier``.
        value: the number.
        n: how many generated (or held-out) images it rests on.
        splits: in how many parts they were judged, where that matters.
        interval: the value minus and plus one standard deviation over the splits or subsets; of a support, 95 %.
        features: (name, version, resize) where the number rests on something other than the extractor.
        details: tensors for a picture, such as the closest pairs; they never enter a card.
        beside: further finite numbers that the value is read with, for its card.
        note: what the value means, or why it means nothing here, in one sentence; None where it speaks for itself.
    """

    name: str
    value: float
    n: int
    splits: int | None = None
    interval: tuple[float, float] | None = None
    features: tuple[str, str, str] | None = None
    details: Mapping[str, Tensor] = field(default_factory=dict)
    beside: Mapping[str, float] = field(default_factory=dict)
    note: str | None = None


class Metric(ABC):
    """A family of figures.

    Args:
        seed: keys every subset that the metric draws.
        splits: parts in which figures that split their samples do so, >= 1.

    Attributes:
        name: as in ``metrics=[fid, is]``; score names begin with it.
        lower_is_better: which way is up.
        also: beginnings of the further scores of a family that come from one computation, each with which way is up;
            any of them in ``metrics=[…]`` asks for the family.
        needs: what it keeps of a pass.
        reads: the metric whose reference serves this one too, or "".
        bound_to_n: its reference is of as many real images as there are samples, and holds for that number alone;
            where there are fewer, as many samples are judged.
    """

    name: ClassVar[str]
    lower_is_better: ClassVar[bool]
    also: ClassVar[Mapping[str, bool]] = {}
    reads: ClassVar[str] = ""
    bound_to_n: ClassVar[bool] = False
    needs: ClassVar[frozenset[Need]]

    def __init__(self, seed: int = 0, splits: int = 10) -> None:
        self.seed = seed
        self.splits = splits

    def applies_to(self, extractor: FeatureExtractor) -> bool:
        """Whether this extractor gives what the metric needs."""
        return extractor.has_logits or "logits" not in self.needs

    def check(self, num_classes: int, dim: int) -> None:
        """Refuse, before any image is looked at, data of so many classes under so many features.

        Raises:
            UserError: the metric cannot be had of them.
        """
        return

    @abstractmethod
    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Return what :meth:`figures` needs of the real side; small, for checkpoints carry it."""

    @abstractmethod
    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return the figures of ``sample`` against what :meth:`reference` kept."""


def permutation(n: int, seed: int, purpose: str) -> Tensor:
    """Return a permutation of ``range(n)`` keyed by seed and purpose, so that every prefix is a fair subset."""
    return torch.randperm(n, generator=randomness.generator("cpu", seed, purpose))


class Collector:
    """Gathers a :class:`Sample` batch by batch, and keeps only what is needed.

    Args:
        needs: the union of what the metrics need.
        dim: number of features.
        num_classes: number of labels, for their counts; 0 without.
    """

    def __init__(self, needs: frozenset[Need], dim: int, num_classes: int = 0) -> None:
        self.needs = needs
        self.moments = Moments(dim) if "moments" in needs else None
        self.class_moments: dict[int, Moments] = {}
        self.dim = dim
        self.label_counts = torch.zeros(num_classes, dtype=torch.long)
        self.rows: dict[Need, list[Tensor]] = {"pool": [], "logits": [], "pixels": [], "labels": [], "sharpness": []}

    def add(self, images: Tensor, features: Features, labels: Tensor | None = None, keep: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            images: uint8 [N, C, H, W].
            features: of these images.
            labels: long [N], or None.
            keep: indices of the rows to keep; None keeps all. Moments take all in any case.
        """
        if self.moments is not None:
            self.moments.update(features.pool)
        if labels is not None and "class_moments" in self.needs:
            for label in labels.unique().tolist():
                rows_of_class = features.pool[(labels == label).to(features.pool.device)]
                self.class_moments.setdefault(label, Moments(self.dim)).update(rows_of_class)
        if keep is None:
            keep = torch.arange(len(images))
        for need, rows in (("pool", features.pool), ("logits", features.logits)):
            if need in self.needs and rows is not None:
                self.rows[need].append(rows.cpu()[keep])
        if "pixels" in self.needs and len(keep):
            self.rows["pixels"].append(small_pixels(images.cpu()[keep]))
        if "labels" in self.needs and labels is not None:
            self.rows["labels"].append(labels.cpu()[keep])
        if "sharpness" in self.needs and len(keep):
            self.rows["sharpness"].append(look(images.cpu()[keep]))

    def count(self, labels: Tensor) -> None:
        """Count true labels, long [N], also of images that no metric needs the features of."""
        if "label_counts" in self.needs and len(self.label_counts):
            self.label_counts += torch.bincount(labels.cpu(), minlength=len(self.label_counts))

    def sample(self) -> Sample:
        """Return what was gathered."""
        rows = {need: torch.cat(parts) if parts else None for need, parts in self.rows.items()}
        counts = self.label_counts if self.label_counts.sum() > 0 else None
        return Sample(
            self.moments, rows["pool"], rows["logits"], rows["pixels"], counts, rows["sharpness"],
            labels=rows["labels"], class_moments=self.class_moments or None,
        )  # fmt: skip


def small_pixels(images: Tensor) -> Tensor:
    """Flatten uint8 images [N, C, H, W] to uint8 [N, D], averaged down to at most 32 pixels a side.

    >>> small_pixels(torch.full((1, 1, 64, 128), 7, dtype=torch.uint8)).shape
    torch.Size([1, 512])
    """
    factor = -(-max(images.shape[-2:]) // PIXELS_SIDE)
    if factor > 1:
        images = functional.avg_pool2d(images.float(), factor, ceil_mode=True).round().to(torch.uint8)
    return images.flatten(1)
