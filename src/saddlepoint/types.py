"""Types that data, networks, losses and systems share: batches, critic outputs, and descriptions of data sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from saddlepoint import trees

CriticKind = Literal["score", "energy"]
"""Meaning of a discriminator's logits: scores, high for real samples, or energies, low for real samples."""

Split = Literal["train", "held_out"]
"""The two splits of every data set."""


class Batch:
    """Base class of batches: trees of tensors with the same first dimension.

    Subclasses are dataclasses whose fields are tensors or None. They are not frozen, since Lightning cannot convert
    frozen dataclasses to float64 or half precision.

    Attributes:
        sampled: name of the field whose distribution the generator learns.
        labels: classes of the samples, long [N], or None.
    """

    sampled: ClassVar[str]
    labels: Tensor | None

    @property
    def samples(self) -> Tensor:
        """The samples whose distribution the generator learns, [N, ...]."""
        samples: Tensor = getattr(self, self.sampled)
        return samples

    @property
    def condition(self) -> Any:
        """The condition of each sample, which conditional networks take as input; by default the labels."""
        return self.labels

    def __len__(self) -> int:
        return trees.length(self)

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on a device."""
        return trees.to(self, device)


@dataclass
class ImageBatch(Batch):
    """Images in [-1, 1], float [N, C, H, W], and labels, long [N], or None."""

    sampled: ClassVar[str] = "images"
    images: Tensor
    labels: Tensor | None = None


@dataclass
class VectorBatch(Batch):
    """Points, float [N, D], and labels, long [N], or None."""

    sampled: ClassVar[str] = "points"
    points: Tensor
    labels: Tensor | None = None


@dataclass
class Paired(Batch):
    """Paired images ``inputs`` and ``targets``, float [N, C, H, W] in [-1, 1]."""

    sampled: ClassVar[str] = "targets"
    inputs: Tensor
    targets: Tensor
    labels: Tensor | None = None

    @property
    def condition(self) -> Tensor:
        """The inputs."""
        return self.inputs


@dataclass
class Unpaired(Batch):
    """Unpaired images of two domains, float [N, C, H, W] in [-1, 1]."""

    sampled: ClassVar[str] = "b"
    a: Tensor
    b: Tensor
    labels: Tensor | None = None


@dataclass
class Captioned(Batch):
    """Images in [-1, 1], float [N, C, H, W], and embeddings of their captions, float [N, E]."""

    sampled: ClassVar[str] = "images"
    images: Tensor
    captions: Tensor
    labels: Tensor | None = None

    @property
    def condition(self) -> Tensor:
        """The embeddings of the captions."""
        return self.captions


BATCHES: Mapping[tuple[str, ...], type[Batch]] = {
    ("images",): ImageBatch,
    ("points",): VectorBatch,
    ("inputs", "targets"): Paired,
    ("a", "b"): Unpaired,
    ("images", "captions"): Captioned,
}
"""The type of batch of each combination of columns."""


class CriticOutput(NamedTuple):
    """The output of a discriminator.

    Attributes:
        logits: unbounded scores, [N], or [N, 1, h, w] for a critic of patches.
        features: activations of the layer before the logits, [N, F].
        class_logits: logits of an auxiliary classifier, [N, K], or None.
    """

    logits: Tensor
    features: Tensor
    class_logits: Tensor | None = None


@dataclass(frozen=True)
class DataInfo:
    """Description of a data set, obtained by inspecting its files.

    Attributes:
        name: name of the data set.
        shape: shape of a sample after preprocessing: (C, H, W) for images, (D,) for points.
        class_names: names of the classes in order, or None without labels.
        sizes: number of samples in each split.
        fingerprint: hash of the data's content and of all preprocessing options.
        columns: shape of each column by name, or None if there is only the column of samples; see :data:`BATCHES`.
        aligned: whether the columns of the held-out split are aligned, so that outputs can be compared with targets;
            False for unpaired data without known counterparts.
    """

    name: str
    shape: tuple[int, ...]
    class_names: tuple[str, ...] | None
    sizes: Mapping[Split, int]
    fingerprint: str
    columns: Mapping[str, tuple[int, ...]] | None = None
    aligned: bool = True

    @property
    def is_image(self) -> bool:
        """Whether samples are images, not points."""
        return len(self.shape) == 3

    @property
    def batch(self) -> type[Batch]:
        """The type of the data's batches."""
        return BATCHES[tuple(self.columns or (("images",) if self.is_image else ("points",)))]

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 without labels."""
        return len(self.class_names or ())
