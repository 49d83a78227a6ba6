"""The record of a turn: its loss, and the critic and the generator as this turn's penalties see them."""

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
    """Return samples as they are: what passes through no augments."""
    return samples


@dataclass(frozen=True)
class Bound:
    """A network with everything but its first argument bound: ``bound(x)`` is ``network(augment(x), condition)``.

    A call leaves BatchNorm's and spectral norm's running statistics as they were, bit for bit: what penalties pass is
    neither data nor what the turn's loss has judged.

    Attributes:
        network: compiled or not.
        condition: what the network is told about each sample beside the sample (labels, an image, a timestep …), a tree
            of [N, ...], or None. Of fewer samples, the first rows are taken.
        augment: what samples pass through first, with fresh draws of the turn's randomness in each call.
    """

    network: nn.Module
    condition: trees.Tree = None
    augment: Callable[[Any], Any] = unchanged

    def __call__(self, x: Any) -> Any:
        """Return the network's output for ``x``, a tree of [N, ...]."""
        with frozen_statistics(self.network):
            return self.network(self.augment(x), self.condition_of(x))

    def condition_of(self, x: Any) -> trees.Tree:
        """Return the first rows of the condition, as many as ``x`` has."""
        return trees.take(self.condition, slice(trees.length(x)))


class Critic(Bound):
    """The critic D as a turn's penalties see it: :class:`Bound`, and its gradient with respect to its input.

    A critic of pairs takes a tuple of tensors for ``x``.
    """

    def __call__(self, x: Any) -> CriticOutput:
        """Return what the critic says of ``x``."""
        output: CriticOutput = super().__call__(x)
        return output

    def gradient(self, x: Any) -> Tensor:
        """Return ∇D(x), the gradient of :func:`sample_scores` of D(augment(x)), as rows.

        It can be differentiated once more, in D's weights, so a penalty may be made of it. It is computed in float32,
        autocast or not, for bf16 does not hold second derivatives.

        Args:
            x: [N, ...], or a tuple of such for a critic of pairs, whose gradients are joined.

        Returns:
            [N, values of a sample]; of a critic that judges packs of m samples, [N // m, values of m samples].
        """
        x = trees.map_tree(lambda tensor: at_least_float32(tensor.detach()), x)
        device = next(trees.leaves(x)).device
        with full_precision(device), frozen_statistics(self.network):
            gradients = score_gradient(self.network, self.augment, x, self.condition_of(x), sample_scores)
        return self.by_judgement(gradients)

    def by_judgement(self, gradients: Sequence[Tensor]) -> Tensor:
        """Return gradients, each [N, ...], joined to a row for each sample that the critic judges, or for each pack.

        Samples that fill no pack, which the critic has not seen, are left out.
        """
        flat = [gradient.flatten(1) for gradient in gradients]
        rows = flat[0] if len(flat) == 1 else torch.cat(flat, 1)
        m = next((module.m for module in self.network.modules() if isinstance(module, Packing)), 1)
        n = len(rows)
        return rows.reshape(1, -1) if n < m else rows[: n - n % m].reshape(n // m, -1)


def sample_scores(output: CriticOutput) -> Tensor:
    """Return one score a sample, [N], in float32 or wider: the mean of its patches for a critic of patches."""
    logits = at_least_float32(output.logits)
    return logits.flatten(1).mean(1) if logits.dim() > 1 else logits


@dataclass
class Turn:
    """The record of one turn: its loss, and all that a regularizer may need.

    Attributes:
        loss: scalar, before regularizers.
        networks: the game's networks by role.
        random: generator on the samples' device, keyed by seed, rank and turn.
        real: the batch's samples, [N, ...], in [-1, 1] for images, or None in a turn that sees none. For a critic of
            pairs, a tuple.
        fake: generated samples, [N, ...].
        latents: what the fakes were made from, [N, Z].
        labels: long [N], or None.
        critic: judges samples, with condition and augments bound; None in a turn without a critic.
        generate: maps latents to samples, with the condition bound; None in a turn without a generator.
        outputs: the critic's outputs in this turn ("real", "fake").
        logs: detached scalars to log.
        players: whose turn it is.
        turns: how many turns each player has had before.
        share: of this rank's batch that the record holds; below 1 under accumulation.
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
