"""The record of a turn: its loss, samples and outputs, and the critic and generator that penalties may call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from saddlepoint import trees
from saddlepoint.compilation import score_gradient
from saddlepoint.networks.layers.minibatch import Packing
from saddlepoint.networks.layers.precision import at_least_float32, full_precision
from saddlepoint.networks.layers.statistics import frozen_statistics
from saddlepoint.types import CriticOutput


def unchanged(samples: Any) -> Any:
    """Return samples unchanged; the default of :attr:`Bound.augment`."""
    return samples


@dataclass(frozen=True)
class Bound:
    """A network with bound condition and augments: ``bound(x)`` is ``network(augment(x), condition)``.

    A call does not update the running statistics of BatchNorm and spectral normalization, since penalties call networks
    on other samples than the turn's.

    Attributes:
        network: the network, compiled or not.
        condition: condition of each sample (labels, an image, a timestep …), a tree of [N, ...], or None. For fewer
            than N samples, the first rows are used.
        augment: transformation of the input, with new random draws in each call.
    """

    network: nn.Module
    condition: trees.Tree = None
    augment: Callable[[Any], Any] = unchanged

    @property
    def of_latents_alone(self) -> bool:
        """Whether outputs depend on nothing but the input, so that they may be reordered."""
        return self.condition is None

    def __call__(self, x: Any) -> Any:
        """Return the network's output for ``x``, a tree of [N, ...]."""
        with frozen_statistics(self.network):
            return self.network(self.augment(x), self.condition_of(x))

    def condition_of(self, x: Any) -> trees.Tree:
        """Return the first rows of the condition, as many as ``x`` has."""
        return trees.take(self.condition, slice(trees.length(x)))


@dataclass(frozen=True)
class Styled(Bound):
    """A style-based generator G(z) = g(f(z)), as in Karras et al. 2019, arXiv:1812.04948, with bound labels and noise.

    The network has methods ``map(latents, labels)`` for f, which returns styles [N, L, W], and ``synthesise(styles,
    noise)`` for g.

    Attributes:
        noise: returns new noise of the layers of g for n samples.
        used: what the turn's samples depend on besides latents and labels, which calls use again: noise of the layers
            [N, ...], latents [N, Z] of the styles from a layer on, and the index of this layer; each may be None.
    """

    noise: Callable[[int], Any] = lambda n: None
    used: tuple[Tensor | None, Tensor | None, Tensor | None] = (None, None, None)

    @property
    def of_latents_alone(self) -> bool:
        """Whether samples depend on nothing but the latents, so that they may be reordered."""
        return self.condition is None and all(part is None for part in self.used)

    def __call__(self, x: Tensor) -> Tensor:
        """Return samples G(z) of latents [N, Z], with the turn's noise and mixed styles."""
        noise, others, cut = self.used
        noise, others = (None if part is None else part[: len(x)] for part in (noise, others))
        with frozen_statistics(self.network):
            samples: Tensor = self.network(x, self.condition_of(x), noise, others, cut)
        return samples

    def map(self, latents: Tensor) -> Tensor:
        """Return styles f(z), [N, L, W], of latents [N, Z]."""
        with frozen_statistics(self.network):
            styles: Tensor = self.network.map(latents, self.condition_of(latents))  # type: ignore[operator]
        return styles

    def synthesise(self, styles: Tensor) -> Tensor:
        """Return samples g(w), [N, ...], of styles [N, L, W]."""
        with frozen_statistics(self.network):
            samples: Tensor = self.network.synthesise(styles, self.noise(len(styles)))  # type: ignore[operator]
        return samples


class Critic(Bound):
    """A critic D with bound condition and augments, and its gradient with respect to its input.

    For a critic of pairs, ``x`` is a tuple of tensors.
    """

    def __call__(self, x: Any) -> CriticOutput:
        """Return the critic's output for ``x``."""
        output: CriticOutput = super().__call__(x)
        return output

    def gradient(self, x: Any) -> Tensor:
        """Return ∇D(x), the gradient of :func:`sample_scores` of D(augment(x)) with respect to ``x``.

        It is differentiable with respect to D's weights, and computed in float32 even under autocast, since bf16 is too
        inaccurate for second derivatives.

        Args:
            x: [N, ...], or for a critic of pairs a tuple of such tensors, whose gradients are concatenated.

        Returns:
            [N, values per sample], or [N // m, values per pack] if the critic packs m samples.
        """
        x = trees.map_tree(lambda tensor: at_least_float32(tensor.detach()), x)
        device = next(trees.leaves(x)).device
        with full_precision(device), frozen_statistics(self.network):
            gradients = score_gradient(self.network, self.augment, x, self.condition_of(x), sample_scores)
        return self.by_output(gradients)

    def by_output(self, gradients: Sequence[Tensor]) -> Tensor:
        """Return gradients, [N, ...] each, concatenated to one row per output of the critic: per sample or per pack.

        Surplus samples that do not fill a pack are dropped.
        """
        flat = [gradient.flatten(1) for gradient in gradients]
        rows = flat[0] if len(flat) == 1 else torch.cat(flat, 1)
        m = next((module.m for module in self.network.modules() if isinstance(module, Packing)), 1)
        n = len(rows)
        return rows.reshape(1, -1) if n < m else rows[: n - n % m].reshape(n // m, -1)


def sample_scores(output: CriticOutput) -> Tensor:
    """Return the scores of samples, [N], at least in float32; for a critic of patches, means over patches."""
    logits = at_least_float32(output.logits)
    return logits.flatten(1).mean(1) if logits.dim() > 1 else logits


@dataclass
class Turn:
    """The record of one turn, which regularizers, losses and augments take as input.

    Attributes:
        loss: the loss without regularizers, a scalar.
        networks: networks by role.
        random: random number generator on the samples' device, keyed by seed, rank and turn.
        real: real samples, [N, ...], in [-1, 1] for images; a tuple for a critic of pairs; None if not used.
        fake: generated samples, likewise.
        latents: latents of the generated samples, [N, Z], or None.
        labels: long [N], or None.
        critic: the critic, with bound condition and augments, or None.
        generate: the generator from latents to samples, with bound condition, or None.
        outputs: outputs of the critic, by kind of sample ("real", "fake").
        logs: detached scalars to log.
        players: names of the players whose turn it is.
        turns: number of previous turns of each player.
        share: the fraction of this rank's batch in this record; below 1 with accumulation.
    """

    loss: Tensor
    networks: Mapping[str, nn.Module]
    random: torch.Generator
    real: Any = None
    fake: Any = None
    latents: Any = None
    labels: Tensor | None = None
    critic: Critic | None = None
    generate: Bound | None = None
    outputs: Mapping[str, CriticOutput] = field(default_factory=dict)
    logs: dict[str, Tensor] = field(default_factory=dict)
    players: Sequence[str] = ("discriminator",)
    turns: Mapping[str, int] = field(default_factory=dict)
    share: float = 1.0
