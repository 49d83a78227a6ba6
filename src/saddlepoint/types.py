"""What travels between data, networks, losses, regularizers and systems."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

Fraction = Annotated[float, Field(ge=0, le=1)]
"""A number in [0, 1], as a part's signature states it."""

CriticKind = Literal["score", "energy"]
"""What a discriminator's logits are: scores, high for real samples, or energies, low for them."""

Split = Literal["train", "held_out"]
"""Every data set has these two, fixed once and for all."""


class ImageBatch(NamedTuple):
    """Images in [-1, 1], float [N, C, H, W], and labels, long [N], where the data has some."""

    images: Tensor
    labels: Tensor | None = None

    @property
    def samples(self) -> Tensor:
        """What the generator imitates."""
        return self.images


class VectorBatch(NamedTuple):
    """Points, float [N, D], and labels, long [N], where the data has some."""

    points: Tensor
    labels: Tensor | None = None

    @property
    def samples(self) -> Tensor:
        """What the generator imitates."""
        return self.points


Batch = ImageBatch | VectorBatch


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
        shape: (C, H, W) of the images as networks see them, or (D,) of the points.
        class_names: the labels' names in order, or None where there are no labels.
        sizes: number of samples in each split.
        fingerprint: a hash of the data's content and of every option that changes what networks see.
    """

    name: str
    shape: tuple[int, ...]
    class_names: tuple[str, ...] | None
    sizes: Mapping[Split, int]
    fingerprint: str

    @property
    def is_image(self) -> bool:
        """Whether samples are images rather than points."""
        return len(self.shape) == 3

    @property
    def num_classes(self) -> int:
        """Number of classes, 0 without labels."""
        return len(self.class_names or ())


def as_they_are(samples: Tensor) -> Tensor:
    """Leave samples unaugmented."""
    return samples


@dataclass
class Turn:
    """The record of one player's turn: its loss, and all that a regularizer may need.

    Attributes:
        loss: scalar, before regularizers.
        networks: the game's networks by role ("generator", "discriminator").
        random: generator on the samples' device, keyed by seed, rank and turn.
        real: the batch's samples, [N, ...] in [-1, 1] for images, or None in a turn that sees none.
        fake: generated samples, [N, ...].
        latents: what the fakes were made from, [N, Z].
        labels: long [N], or None.
        outputs: the critic's outputs in this turn ("real", "fake").
        logs: detached scalars to log.
        player: whose turn it is.
        turns: how many turns this player has had before.
        augment: what the critic's inputs pass through, freshly drawn in each call; for penalties that judge samples.
        share: of this rank's batch that the record holds; below 1 under accumulation.
    """

    loss: Tensor
    networks: Mapping[str, nn.Module]
    random: torch.Generator
    real: Tensor | None = None
    fake: Tensor | None = None
    latents: Tensor | None = None
    labels: Tensor | None = None
    outputs: Mapping[str, CriticOutput] = field(default_factory=dict)
    logs: dict[str, Tensor] = field(default_factory=dict)
    player: str = "discriminator"
    turns: int = 0
    augment: Callable[[Tensor], Tensor] = as_they_are
    share: float = 1.0
