"""What every adversarial objective promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.parts import Part
from saddlepoint.types import CriticKind, CriticOutput

PLURAL = {"score": "scores", "energy": "energies"}


class AdversarialLoss(Part, ABC):
    """An objective of the two-player game, as a pure function of what the critic says.

    A subclass states both players' losses, to be *minimised*. Logits are [N], or [N, 1, h, w] for a critic of patches,
    over all of which a loss averages. A loss with a state keeps it in buffers. A ``batch_coupled`` loss is given the
    outputs of all ranks.

    Attributes:
        critic: what the critic's logits must be: scores, high for real samples, or energies, low for them.
        reads: what the loss reads of the critic's output.
        undecided: the score of a sample that the best critic cannot tell, where p_data = p_g; None where it is any.
        changes: whose objective is its own; a loss that wraps another may leave the discriminator's as it was.
    """

    critic: ClassVar[CriticKind] = "score"
    reads: Literal["logits", "features"] = "logits"
    undecided: float | None = 0.0
    changes: ClassVar[Literal["both", "generator"]] = "both"

    def __init__(self) -> None:  # a signature without nn.Module's *args, so that an unknown key in a file is an error
        super().__init__()

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Refuse a critic of the other kind.

        Raises:
            UserError: the loss wants scores and the critic gives energies, or the other way round.
        """
        kind = getattr(networks.get("discriminator"), "critic", "score")
        if kind != self.critic:
            way = "use an autoencoder as the discriminator" if self.critic == "energy" else "use another network"
            raise UserError(
                f"{type(self).__name__} needs a discriminator that gives {PLURAL[self.critic]}, and "
                f"{type(networks['discriminator']).__name__} gives {PLURAL[kind]}",
                None,
                f"{way}, or another loss",
            )

    @abstractmethod
    def discriminator(self, real: CriticOutput, fake: CriticOutput) -> Tensor:
        """Return the discriminator's loss, a scalar, from its outputs on real and on generated samples."""

    @abstractmethod
    def generator(self, fake: CriticOutput, real: CriticOutput | None = None) -> Tensor:
        """Return the generator's loss, a scalar, from outputs on generated and, if needed, on real samples."""


def scores(output: CriticOutput) -> Tensor:
    """Return the logits in float32 or wider: a mean of bf16 scores would keep three digits."""
    return output.logits.to(torch.promote_types(output.logits.dtype, torch.float32))
