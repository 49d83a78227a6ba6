"""What travels between data, networks, losses and systems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from saddlepoint import trees

Fraction = Annotated[float, Field(ge=0, le=1)]
"""A number in [0, 1], as a part's signature states it."""

CriticKind = Literal["score", "energy"]
"""What a discriminator's logits are: scores, high for real samples, or energies, low for them."""

Split = Literal["train", "held_out"]
"""Every data set has these two, fixed once and for all."""


class Batch:
    """Samples and what belongs to them: a tree of tensors that share their first dimension.

    A subclass is a dataclass whose fields are tensors or None. Accumulation, transfer and ranks map over the fields, so
    a new kind of batch needs no code elsewhere. It is not frozen, since Lightning refuses frozen dataclasses where it
    converts a batch to float64 or half precision.

    Attributes:
        sampled: the name of the field that the generator imitates.
        labels: the samples' classes, long [N], or None.
    """

    sampled: ClassVar[str]
    labels: Tensor | None

    @property
    def samples(self) -> Tensor:
        """What the generator imitates, [N, ...]."""
        samples: Tensor = getattr(self, self.sampled)
        return samples

    @property
    def condition(self) -> Any:
        """What networks are told about each sample; the labels unless a subclass says otherwise."""
        return self.labels

    def __len__(self) -> int:
        return trees.length(self)

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on a device."""
        return trees.to(self, device)


@dataclass
class ImageBatch(Batch):
    """Images in [-1, 1], float [N, C, H, W], and labels, long [N], where the data has some."""

    sampled: ClassVar[str] = "images"
    images: Tensor
    labels: Tensor | None = None


@dataclass
class VectorBatch(Batch):
    """Points, float [N, D], and labels, long [N], where the data has some."""

    sampled: ClassVar[str] = "points"
    points: Tensor
    labels: Tensor | None = None


@dataclass
class Paired(Batch):
    """Pairs of images: ``inputs`` and the ``targets`` that belong to them, float [N, C, H, W] in [-1, 1]."""

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
    """Images of two domains, float [N, C, H, W] in [-1, 1]; row i of one has nothing to do with row i of the other."""

    sampled: ClassVar[str] = "b"
    a: Tensor
    b: Tensor
    labels: Tensor | None = None


@dataclass
class Captioned(Batch):
    """Images in [-1, 1], float [N, C, H, W], and an embedding of each one's caption, float [N, E]."""

    sampled: ClassVar[str] = "images"
    images: Tensor
    captions: Tensor
    labels: Tensor | None = None

    @property
    def condition(self) -> Tensor:
        """The captions."""
        return self.captions


BATCHES: Mapping[tuple[str, ...], type[Batch]] = {
    ("images",): ImageBatch,
    ("points",): VectorBatch,
    ("inputs", "targets"): Paired,
    ("a", "b"): Unpaired,
    ("images", "captions"): Captioned,
}
"""The kind of batch that columns of these names make."""


class CriticOutput(NamedTuple):
    """What a discriminator says of a batch.

    Attributes:
        logits: unbounded scores, [N], or [N, 1, h, w] for a critic of patches.
        features: the last layer before the logits, [N, F].
        class_logits: an auxiliary classifier's scores, [N, K], or None.
    """

    logits: Tensor
    features: Tensor
    class_logits: Tensor | None = None


@dataclass(frozen=True)
class DataInfo:
    """What a data set turned out to be once its files were inspected.

    Attributes:
        name: the data set's name, for score cards.
        shape: of the samples, which generators make, as networks see them: (C, H, W) of images, (D,) of points.
        class_names: the labels' names in order, or None where there are no labels.
        sizes: number of samples in each split, which are the rows of the samples' column.
        fingerprint: a hash of the data's content and of every option that changes what networks see.
        columns: the shape of each column by name, where samples are not the only one; see :data:`BATCHES`.
        aligned: whether rows of the held-out split's columns belong together, so that what a system makes of one can be
            compared with the other; False for unpaired data whose true counterparts are unknown.
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
        """Whether samples are images rather than points."""
        return len(self.shape) == 3

    @property
    def batch(self) -> type[Batch]:
        """The kind of batch that this data makes."""
        return BATCHES[tuple(self.columns or (("images",) if self.is_image else ("points",)))]

    @property
    def num_classes(self) -> int:
        """Number of classes, 0 without labels."""
        return len(self.class_names or ())
