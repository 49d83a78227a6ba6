"""What systems can do, as protocols: whoever samples, scores, exports or draws asks for these and for no network.

A system has a capability if it has its methods: ``isinstance(system, Encodes)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from saddlepoint import trees


@dataclass(frozen=True)
class Draw:
    """What samples are generated from: a row a sample in every tensor.

    Attributes:
        latents: a tree of [N, ...], usually a tensor [N, Z].
        labels: long [N], or None.
        condition: what else the generator is told (an image, a caption's embedding), a tree of [N, ...], or None.
        noise: of the generator's layers, a tree of [N, ...], or None.
        truncation: in (0, 1]; 1 leaves the latents' distribution as it is.
    """

    latents: trees.Tree
    labels: Tensor | None = None
    condition: trees.Tree = None
    noise: trees.Tree = None
    truncation: float = 1.0

    def rows(self, rows: slice) -> Draw:
        """Return some of the rows."""
        return self._mapped(lambda tensor: tensor[rows])

    def to(self, device: torch.device) -> Draw:
        """Return the draw on a device."""
        return self._mapped(lambda tensor: tensor.to(device))

    def padded(self, before: int, count: int) -> Draw:
        """Return ``count`` rows: copies of the first, these from row ``before`` on, and copies of the first again."""

        def pad(tensor: Tensor) -> Tensor:
            after = count - before - len(tensor)
            parts = [tensor[:1].expand(n, *tensor.shape[1:]) for n in (before, after)]
            return torch.cat([parts[0], tensor, parts[1]]) if before or after else tensor

        return self._mapped(pad)

    def _mapped(self, function: Any) -> Draw:
        names = ("latents", "labels", "condition", "noise")
        return replace(self, **{name: trees.map_tree(function, getattr(self, name)) for name in names})


class Picture(NamedTuple):
    """Images to be laid out in a grid.

    Attributes:
        samples: float [N, C, H, W] in [-1, 1], row by row.
        columns: images a row; None for a square grid.
    """

    samples: Tensor
    columns: int | None = None


def rows_of(*images: Tensor, columns: int = 10) -> Picture:
    """Return a picture in which image i of each argument stands above that of the next one.

    Args:
        images: float [N, C, H, W] each; gray ones are shown in colour among others in colour.
        columns: images a row.
    """
    channels = max(one.shape[1] for one in images)
    shown = [one.expand(-1, channels, -1, -1) if one.shape[1] == 1 else one for one in images]
    columns = min(columns, len(images[0]))
    whole = len(images[0]) - len(images[0]) % columns  # a last row that is not full would shift the ones below
    chunks = zip(*(one[:whole].split(columns) for one in shown), strict=True)
    return Picture(torch.cat([part.to(shown[0].device) for chunk in chunks for part in chunk]), columns)


class Export(NamedTuple):
    """A network as it leaves the project.

    Attributes:
        network: the one with the weights that are to be exported; it is copied, not changed.
        inputs: an example of each of its inputs by name, two rows each; the number of rows is free.
        outputs: the names of what it returns.
        role: its role among the system's networks, whose config it was built by.
        averaged: whether the weights are averages.
    """

    network: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...]
    role: str
    averaged: bool


class LogLikelihood(NamedTuple):
    """Log-likelihoods of samples.

    Attributes:
        nats: log p(x) of each sample or a bound of it, float64 [N], in nats.
        kind: what the figure is.
        values: number of values of a sample that the likelihood is of, for bits per dimension.
    """

    nats: Tensor
    kind: Literal["exact", "elbo", "iwae"]
    values: int


@runtime_checkable
class Generates(Protocol):
    """Makes samples from noise: an endless table a seed, whose row i depends on neither batch size nor ranks.

    Attributes:
        num_classes: number of classes that the generator is conditioned on; 0 if it is unconditional.
        block: how many samples are generated at a time.
    """

    block: int

    @property
    def num_classes(self) -> int:
        """Number of classes."""

    def sample(self, n: int, **options: Any) -> Tensor:
        """Return n samples; see :meth:`saddlepoint.systems.sampling.Sampling.sample`."""

    def sample_blocks(self, n: int, **options: Any) -> Iterator[Tensor]:
        """Yield n samples in blocks."""

    def sample_classes(self, labels: Sequence[int], columns: int, **options: Any) -> Tensor:
        """Return a row of samples a label."""

    def draw_sample_labels(self, seed: int, start: int, count: int) -> Tensor | None:
        """Return the labels of samples of the table, or None without conditioning."""

    def learn_labels(self, counts: Tensor) -> None:
        """Take the label distribution that samples follow from the training data's counts, long [K]."""


@runtime_checkable
class Encodes(Protocol):
    """Maps samples to codes and codes to samples."""

    def encode(self, samples: Tensor, ema: bool = True) -> Tensor:
        """Return codes [N, Z] of samples [N, ...]."""

    def decode(self, codes: Tensor, ema: bool = True) -> Tensor:
        """Return samples [N, ...] of codes [N, Z]."""


@runtime_checkable
class Translates(Protocol):
    """Maps images to images.

    Attributes:
        directions: the names of the maps, each with the columns of the data that it goes from and to.
    """

    directions: Mapping[str, tuple[str, str]]

    def translate(self, images: Tensor, direction: str | None = None, seed: int = 0, ema: bool = True) -> Tensor:
        """Return images [N, C', H, W] for images [N, C, H, W]; by the first direction unless one is named."""


@runtime_checkable
class Completes(Protocol):
    """Fills in what is missing of images."""

    def complete(self, images: Tensor, known: Tensor, seed: int = 0, ema: bool = True) -> Tensor:
        """Return images [N, C, H, W] that agree with ``images`` wherever ``known``, bool [N, 1, H, W], is set."""


@runtime_checkable
class HasLikelihood(Protocol):
    """Says how likely samples are."""

    def log_likelihood(self, samples: Tensor, importance: int = 1, seed: int = 0) -> LogLikelihood:
        """Return log-likelihoods of samples [N, ...], or a bound by so many importance samples."""


@runtime_checkable
class InfersCodes(Protocol):
    """Reads discrete codes off samples, whose agreement with labels can be counted."""

    def infer_codes(self, samples: Tensor) -> Tensor:
        """Return the likeliest category, long [N], of samples [N, ...]."""
