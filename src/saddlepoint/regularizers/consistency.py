"""What the consistency regularizers share: how much the critic changes its mind when an image is moved a little."""

from __future__ import annotations

import torch
from torch import Tensor

from saddlepoint.augment.geometry import shift_and_flip
from saddlepoint.networks.layers.statistics import frozen_statistics
from saddlepoint.regularizers.base import sample_scores
from saddlepoint.types import Turn


def moved(images: Tensor, random: torch.Generator, shift: int) -> Tensor:
    """Mirror each image with probability ½ and shift it by up to ``shift`` pixels each way, reflecting at the borders.

    Args:
        images: [N, C, H, W].
        random: what is drawn comes from it.
        shift: in pixels, >= 0.
    """
    n, device = len(images), images.device
    down, right = torch.randint(-shift, shift + 1, (2, n), generator=random, device=device)
    flipped = torch.rand(n, generator=random, device=device) < 0.5
    return shift_and_flip(images, down, right, flipped)


def change_of_mind(turn: Turn, player: str, kind: str, others: Tensor) -> Tensor:
    """Return E (D(x) - D(x'))², a scalar, between what the critic said in this turn and what it says of ``others``.

    It judges the others through the turn's augments in a pass that leaves its running statistics as they were. A critic
    of patches counts as the mean of its patches.

    Args:
        turn: with the critic's outputs.
        player: the critic's role.
        kind: "real" or "fake": whose outputs x is.
        others: x', as many samples, in the same order.
    """
    network = turn.networks[player]
    with frozen_statistics(network):
        output = network(turn.augment(others), turn.labels)
    return (sample_scores(turn.outputs[kind]) - sample_scores(output)).square().mean()
