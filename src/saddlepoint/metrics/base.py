"""The interface of metrics: what they need from a pass over images, and how they compute figures."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from saddlepoint.metrics.features.base import FeatureExtractor, Features
from saddlepoint.metrics.moments import Moments
from saddlepoint.metrics.power_spectra import power_spectra
from saddlepoint.metrics.sharpness import sharpness_and_contrast

Need = Literal[
    "moments",
    "pool",
    "logits",
    "pixels",
    "images",
    "labels",
    "label_counts",
    "class_moments",
    "sharpness",
    "spectrum",
    "baselines",
    "train_pool",
]
"""What a pass over images can keep; it keeps only what the metrics need."""

OF_ALL: frozenset[Need] = frozenset({"moments", "class_moments", "train_pool"})
"""The needs that are computed from all images of a pass; the others are computed from the kept rows."""

OF_LABELS: frozenset[Need] = frozenset({"labels", "class_moments"})
"""The needs that only samples with labels meet."""

PIXELS_SIDE = 32
"""Images are averaged down to this many pixels a side for comparison: enough to recognize copies, and affordable for
50,000 images."""


ROWS: tuple[Need, ...] = ("pool", "logits", "pixels", "images", "labels", "sharpness", "spectrum")
"""The needs that have a row for each kept image."""


@dataclass
class Sample:
    """What a pass over images keeps for the metrics.

    Attributes:
        moments: of the pooled features of *all* images of the pass.
        pool: features of the kept rows, float32 [M, F]. All rows are on the CPU.
        logits: float32 [M, K].
        pixels: uint8 [M, D], averaged down to at most 32 pixels a side.
        images: uint8 [M, C, H, W].
        labels: long [M], true labels or those that a generator was conditioned on; None without labels.
        label_counts: long [K], the true labels of all images; None without labels.
        class_moments: as ``moments``, for each class's images by label; None without labels.
        sharpness: float32 [M, 2], log-sharpness and log-contrast at full resolution, by
            :func:`~saddlepoint.metrics.sharpness.sharpness_and_contrast`.
        spectrum: float32 [M, K + 1], by :func:`~saddlepoint.metrics.power_spectra.power_spectra`.
        baselines: by name, further real samples whose figures a score is compared with: "held_out", "blurred",
            "noised".
        train_pool: of the train split only, the features of all images, or of as many as fit in half a gigabyte.
        held_out: of the train split only, the sample of the held-out split.
    """

    moments: Moments | None = None
    pool: Tensor | None = None
    logits: Tensor | None = None
    pixels: Tensor | None = None
    images: Tensor | None = None
    label_counts: Tensor | None = None
    sharpness: Tensor | None = None
    spectrum: Tensor | None = None
    baselines: Mapping[str, Sample] = field(default_factory=dict)
    labels: Tensor | None = None
    class_moments: Mapping[int, Moments] | None = None
    train_pool: Tensor | None = None
    held_out: Sample | None = None


def select_rows(sample: Sample, rows: Tensor) -> Sample:
    """Return a sample with only the kept rows of these indices, long [M]; values from all images are unchanged."""
    all_rows = {name: getattr(sample, name) for name in ROWS}
    return dataclasses.replace(sample, **{name: of[rows] for name, of in all_rows.items() if of is not None})


@dataclass(frozen=True)
class Figure:
    """A number computed by a metric, before it is put on a card.

    Attributes:
        name: the score's full name, such as ``fid_classifier``.
        value: the number.
        n: number of generated (or held-out) images it was computed from.
        splits: number of parts they were divided into, where that matters.
        interval: the value minus and plus one standard deviation over the splits or subsets; a 95 % interval for a
            support.
        features: (name, version, resize) if the number was computed from features other than the extractor's.
        details: tensors for plots, such as the closest pairs; not stored on the card.
        beside: further finite numbers for the card, needed to interpret the value.
        note: the value's interpretation, or why it has none, in one sentence; None if no explanation is needed.
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
    """A metric, which computes one or several figures.

    Args:
        seed: seeds every subset that the metric draws.
        splits: number of parts for figures that are averaged over parts of the samples, >= 1.

    Attributes:
        name: as in ``metrics=[fid, is]``; the names of its scores begin with it.
        also: name prefixes of further scores from the same computation; any of them in ``metrics=[…]`` selects the
            family. The direction of every score is in ``directions.py``.
        needs: what it needs a pass to keep.
        reads: name of another metric whose reference this one can use, or "".
        bound_to_n: whether its reference must have as many real images as there are samples. If there are fewer real
            images, only as many samples are evaluated.
    """

    name: ClassVar[str]
    also: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[str] = ""
    bound_to_n: ClassVar[bool] = False
    needs: ClassVar[frozenset[Need]]

    def __init__(self, seed: int = 0, splits: int = 10) -> None:
        self.seed = seed
        self.splits = splits

    def applies_to(self, extractor: FeatureExtractor) -> bool:
        """Return whether this extractor provides what the metric needs."""
        return extractor.has_logits or "logits" not in self.needs

    def check(self, num_classes: int, dim: int) -> None:
        """Check, before any image is read, that the metric can be computed for this number of classes and features.

        Raises:
            UserError: it cannot.
        """
        return

    def least_samples(self, dim: int) -> int:
        """Return the number of samples that the metric needs with ``dim`` features; with fewer, it has no figures."""
        return 2

    @abstractmethod
    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Return what :meth:`figures` needs from the real data; small, because checkpoints store it."""

    @abstractmethod
    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return the figures of ``sample``, given the result of :meth:`reference`."""

    def real_figures(
        self, held_out: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor
    ) -> list[Figure]:
        """Return the figures of real images that stand beside those of samples: by default, of held-out images."""
        return self.figures(held_out, reference, extractor)


class Collector:
    """Builds a :class:`Sample` batch by batch, keeping only what is needed.

    Args:
        needs: the union of what the metrics need.
        dim: number of features.
        num_classes: number of labels, for counting them; 0 without.
    """

    def __init__(self, needs: frozenset[Need], dim: int, num_classes: int = 0) -> None:
        self.needs = needs
        self.moments = Moments(dim) if "moments" in needs else None
        self.class_moments: dict[int, Moments] = {}
        self.dim = dim
        self.label_counts = torch.zeros(num_classes, dtype=torch.long)
        self.rows: dict[Need, list[Tensor]] = {need: [] for need in ROWS}

    def add(self, images: Tensor, features: Features, labels: Tensor | None = None, keep: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            images: uint8 [N, C, H, W].
            features: of these images.
            labels: long [N], or None.
            keep: indices of the rows to keep; None keeps all. Moments include all rows in any case.
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
        if "images" in self.needs:
            self.rows["images"].append(images.cpu()[keep])
        if "labels" in self.needs and labels is not None:
            self.rows["labels"].append(labels.cpu()[keep])
        if "sharpness" in self.needs and len(keep):
            self.rows["sharpness"].append(sharpness_and_contrast(images.cpu()[keep]))
        if "spectrum" in self.needs and len(keep):
            self.rows["spectrum"].append(power_spectra(images.cpu()[keep]))

    def count(self, labels: Tensor) -> None:
        """Count true labels, long [N], including those of images that no metric needs the features of."""
        if "label_counts" in self.needs and len(self.label_counts):
            self.label_counts += torch.bincount(labels.cpu(), minlength=len(self.label_counts))

    def sample(self) -> Sample:
        """Return what was kept."""
        rows: dict[str, Any] = {need: torch.cat(parts) if parts else None for need, parts in self.rows.items()}
        counts = self.label_counts if self.label_counts.sum() > 0 else None
        return Sample(self.moments, label_counts=counts, class_moments=self.class_moments or None, **rows)


def small_pixels(images: Tensor) -> Tensor:
    """Return uint8 images [N, C, H, W] as rows uint8 [N, D], averaged down to at most 32 pixels a side.

    >>> small_pixels(torch.full((1, 1, 64, 128), 7, dtype=torch.uint8)).shape
    torch.Size([1, 512])
    """
    factor = -(-max(images.shape[-2:]) // PIXELS_SIDE)
    if factor > 1:
        images = functional.avg_pool2d(images.float(), factor, ceil_mode=True).round().to(torch.uint8)
    return images.flatten(1)
