"""Capabilities of systems as protocols, which sampling, evaluation, export and logging use instead of networks.

A system has a capability if it has the protocol's methods: ``isinstance(system, Encodes)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from saddlepoint import trees
from saddlepoint.types import Batch


@dataclass(frozen=True)
class Draw:
    """Inputs from which N samples are generated.

    Attributes:
        latents: a tree of [N, ...], usually a tensor [N, Z].
        labels: long [N], or None.
        condition: other conditioning input (an image, a caption's embedding), a tree of [N, ...], or None.
        noise: noise of the generator's layers, a tree of [N, ...], or None.
        truncation: truncation of the latents, in (0, 1]; 1 is no truncation.
    """

    latents: trees.Tree
    labels: Tensor | None = None
    condition: trees.Tree = None
    noise: trees.Tree = None
    truncation: float = 1.0

    def rows(self, rows: slice) -> Draw:
        """Return a slice of the rows."""
        return self._mapped(lambda tensor: tensor[rows])

    def to(self, device: torch.device) -> Draw:
        """Return the draw on a device."""
        return self._mapped(lambda tensor: tensor.to(device))

    def padded(self, before: int, count: int) -> Draw:
        """Return ``count`` rows in which these start at row ``before``; the others are copies of the first row."""

        def pad(tensor: Tensor) -> Tensor:
            after = count - before - len(tensor)
            parts = [tensor[:1].expand(n, *tensor.shape[1:]) for n in (before, after)]
            return torch.cat([parts[0], tensor, parts[1]]) if before or after else tensor

        return self._mapped(pad)

    def _mapped(self, function: Any) -> Draw:
        names = ("latents", "labels", "condition", "noise")
        return replace(self, **{name: trees.map_tree(function, getattr(self, name)) for name in names})


class Picture(NamedTuple):
    """A grid of images.

    Attributes:
        samples: float [N, C, H, W] in [-1, 1], in row-major order.
        columns: number of images per row; None for a square grid.
    """

    samples: Tensor
    columns: int | None = None


class Scatter(NamedTuple):
    """A scatter plot of codes in two dimensions.

    Attributes:
        points: float [N, 2].
        labels: classes of the points, long [N], shown as colours; or None.
        prior: points of the distribution that the codes are to follow, float [M, 2], shown in gray behind them.
    """

    points: Tensor
    labels: Tensor | None
    prior: Tensor


Shown = Picture | Scatter
"""What a system shows during training."""


def rows_of(*images: Tensor, columns: int = 10) -> Picture:
    """Return a picture with image i of each argument above image i of the next argument.

    An incomplete row is filled up with black images.

    Args:
        images: float [N, C, H, W] each; grayscale images are converted to RGB if others are RGB.
        columns: maximum number of images per row.
    """
    channels = max(one.shape[1] for one in images)
    shown = [one.expand(-1, channels, -1, -1) if one.shape[1] == 1 else one for one in images]
    columns = min(columns, len(images[0]))
    missing = -len(images[0]) % columns
    filled = [torch.cat([one, one.new_full((missing, *one.shape[1:]), -1)]) for one in shown]
    chunks = zip(*(one.split(columns) for one in filled), strict=True)
    return Picture(torch.cat([part.to(shown[0].device) for chunk in chunks for part in chunk]), columns)


class Export(NamedTuple):
    """A network to export.

    Attributes:
        network: the network; it is copied before it is changed.
        inputs: an example of each input by name, with two rows; the exported batch size is dynamic.
        outputs: names of its outputs.
        role: its role in the system.
        averaged: whether its weights are moving averages.
    """

    network: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...]
    role: str
    averaged: bool


class LogLikelihood(NamedTuple):
    """Log-likelihoods of samples.

    Attributes:
        nats: log p(x) of each sample or a lower bound on it, float64 [N], in nats.
        kind: exact log-likelihood, evidence lower bound, or importance-weighted bound.
        values: number of dimensions of a sample, for conversion to bits per dimension.
        levels: number of intensities if it is the probability of discrete pixels by the model's definition, else None.
        density: whether it is a probability density.
    """

    nats: Tensor
    kind: Literal["exact", "elbo", "iwae"]
    values: int
    levels: int | None = None
    density: bool = False


@runtime_checkable
class Generates(Protocol):
    """Generates samples. Each seed defines an infinite sequence; sample i is independent of batch size and rank.

    Attributes:
        num_classes: number of classes of a conditional generator; 0 if it is unconditional.
        block: number of samples that are generated at a time.
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
        """Return a row of samples for each label."""

    def draw(self, seed: int, start: int, count: int, truncation: float = 1.0) -> Draw:
        """Return the inputs of samples ``start … start + count - 1`` of the sequence of a seed."""

    def draw_sample_labels(self, seed: int, start: int, count: int) -> Tensor | None:
        """Return the labels of samples, or None if the generator is unconditional."""

    def learn_labels(self, counts: Tensor) -> None:
        """Set the label distribution of samples to that of the training data, from its class counts, long [K]."""


@runtime_checkable
class HasLatents(Generates, Protocol):
    """Generates samples from latents that can be moved and interpolated.

    Attributes:
        prior: distribution of the latents.
    """

    prior: Literal["normal", "uniform"]


@runtime_checkable
class EmbedsLabels(Protocol):
    """Generates samples from embeddings of labels, between which it can interpolate."""

    def embed_labels(self, labels: Tensor, ema: bool = True) -> Tensor:
        """Return embeddings of labels, which :meth:`Generates.sample` takes as ``condition``, float [N, E]."""


@runtime_checkable
class HasStyles(HasLatents, Protocol):
    """Maps latents to styles, and styles and noise to images.

    Attributes:
        style_count: number L of styles of a sample, from coarse to fine.
    """

    @property
    def style_count(self) -> int:
        """Number of styles."""

    def styles(self, draw: Draw, ema: bool = True) -> Tensor:
        """Return the styles [N, L, W] of a draw."""

    def from_styles(self, styles: Tensor, noise: trees.Tree = None, ema: bool = True) -> Tensor:
        """Return images [N, C, H, W] of styles [N, L, W]; no noise if ``noise`` is None."""

    def style_weight(self, ema: bool = True) -> Tensor:
        """Return the weight [A, W] of all linear maps from styles to the scales of channels."""

    def project(self, images: Tensor, seed: int = 0, ema: bool = True) -> Tensor:
        """Return styles [N, L, W], equal for all layers, whose images are close to images [N, C, H, W]."""


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
        directions: the source and target columns of each map, by its name.
    """

    directions: Mapping[str, tuple[str, str]]

    def translate(
        self, images: Tensor, direction: str | None = None, seed: int = 0, ema: bool = True, start: int = 0
    ) -> Tensor:
        """Return translations [N, C', H, W] of images [N, C, H, W] start … start + N - 1; see :class:`Translating`."""


@runtime_checkable
class Completes(Protocol):
    """Completes images of which some pixels are missing (inpainting)."""

    def complete(self, images: Tensor, known: Tensor, seed: int = 0, ema: bool = True) -> Tensor:
        """Return images [N, C, H, W] that agree with ``images`` wherever ``known``, bool [N, 1, H, W], is set."""


@runtime_checkable
class HasLikelihood(Protocol):
    """Computes log-likelihoods of samples."""

    def likelihood_is_exact(self) -> bool:
        """Return whether log-likelihoods are exact, not bounds."""

    def log_likelihood(self, samples: Tensor, importance: int = 1, seed: int = 0, ema: bool = True) -> LogLikelihood:
        """Return log-likelihoods of samples [N, ...], or a bound from ``importance`` samples."""


@runtime_checkable
class Traverses(Protocol):
    """Has codes, each of which can be varied with the other latents fixed."""

    @property
    def traversable(self) -> int:
        """Number of codes."""

    def traverse(self, index: int, rows: int, columns: int, seed: int, ema: bool = True) -> Tensor:
        """Return samples [rows · columns, ...]; in each row, code ``index`` takes ``columns`` values."""


@runtime_checkable
class InfersCodes(Protocol):
    """Infers discrete codes from samples, whose agreement with labels can be measured."""

    def has_discrete_codes(self) -> bool:
        """Return whether there are discrete codes, which may depend on the system's arguments."""

    def infer_codes(self, samples: Tensor, ema: bool = True) -> Tensor:
        """Return the most likely category, long [N], of samples [N, ...]."""


@runtime_checkable
class HasCodePrior(Protocol):
    """Is trained so that the codes of data follow a prior, with which they can be compared."""

    def encode(self, samples: Tensor, ema: bool = True) -> Tensor:
        """Return codes [N, Z] of samples [N, ...]."""

    def prior_codes(self, n: int, seed: int) -> Tensor:
        """Return draws of the prior, [n, Z], on the CPU."""


@runtime_checkable
class UsesLabelled(Protocol):
    """Is trained on the labels of a subset of the training samples.

    Attributes:
        labelled: number of samples in the subset; None if the labels of all samples are used, or of none.
    """

    labelled: int | None

    def set_labelled(self, batch: Batch) -> None:
        """Set the labelled samples, before training."""
