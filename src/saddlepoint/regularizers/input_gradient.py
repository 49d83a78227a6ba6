"""What gradient penalties share: the critic's gradient with respect to its input, differentiable once more."""

from __future__ import annotations

from torch import Tensor, nn

from saddlepoint.compilation import score_gradient
from saddlepoint.errors import UserError
from saddlepoint.networks.layers.minibatch import Packing
from saddlepoint.networks.layers.precision import at_least_float32, full_precision
from saddlepoint.networks.layers.statistics import frozen_statistics, uses_batch_statistics
from saddlepoint.regularizers.base import sample_scores
from saddlepoint.types import Turn


def refuse_batch_norm(network: nn.Module, what: str, role: str) -> None:
    """Refuse BatchNorm, under which a sample's output depends on the others, so that no gradient is its own.

    Args:
        network: whose gradient is to be penalised.
        what: the penalty, as it is named in the error.
        role: the network's.

    Raises:
        UserError: the network has BatchNorm.
    """
    if uses_batch_statistics(network):
        key = "norm" if role == "discriminator" else f"norm.{role}"
        raise UserError(
            f"{what} is per sample, but the {role} has batch normalisation, which mixes samples: "
            f"set {key}=layer or {key}=none"
        )


def samples_of(turn: Turn, kind: str, what: str, player: str) -> Tensor:
    """Return the turn's real or generated samples without their graph, in float32 or wider.

    Raises:
        UserError: the turn has none.
    """
    samples = turn.real if kind == "real" else turn.fake
    if samples is None:
        described = "real" if kind == "real" else "generated"
        raise UserError(f"{what} needs turns that see {described} samples; '{player}' has none")
    return at_least_float32(samples.detach())


def input_gradient(turn: Turn, player: str, samples: Tensor) -> Tensor:
    """Return ∇D at samples, through the turn's augments, as rows that can be differentiated in D's weights.

    The forward pass is the penalty's own: in float32, autocast or not, for bf16 does not hold second derivatives; and
    it leaves the critic's running statistics as they were. A critic of patches counts as the mean of its patches, as in
    the losses. A critic of packs (one logit for m neighbouring samples) has a gradient for each pack.

    Args:
        turn: its first labels go with the samples.
        player: the critic's role.
        samples: [N, ...], float32 or wider, detached from any graph.

    Returns:
        [N, values of a sample], or [N/m, values of m samples].
    """
    network = turn.networks[player]
    labels = None if turn.labels is None else turn.labels[: len(samples)]
    with full_precision(samples.device), frozen_statistics(network):
        gradient = score_gradient(network, turn.augment, samples, labels, sample_scores)
    return by_judgement(network, gradient)


def by_judgement(network: nn.Module, gradient: Tensor) -> Tensor:
    """Return gradients [N, ...] as one row for each sample that the critic judges, or for each pack of m samples.

    Samples that fill no pack, which the critic has not seen, are left out.
    """
    m = next((module.m for module in network.modules() if isinstance(module, Packing)), 1)
    n = len(gradient)
    return gradient.reshape(1, -1) if n < m else gradient[: n - n % m].reshape(n // m, -1)
