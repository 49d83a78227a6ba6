"""Base class of adversarial losses."""

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
    """Base class of adversarial losses, which are functions of the critic's outputs.

    Subclasses implement the losses of both players, which are *minimized*. Logits are [N], or [N, 1, h, w] for a critic
    of patches, over which losses average. State is kept in buffers. If ``batch_coupled`` is true, the loss receives the
    outputs of all ranks.

    Attributes:
        critic: required kind of critic: scores are high for real samples, energies are low for them.
        reads: the part of the critic's output that the loss uses.
        undecided: the optimal critic's score where p_data = p_g; None if it is not unique.
        changes: the objectives that the loss defines; "generator" if it wraps a loss whose discriminator objective it
            leaves unchanged.
    """

    critic: ClassVar[CriticKind] = "score"
    reads: Literal["logits", "features"] = "logits"
    undecided: float | None = 0.0
    changes: ClassVar[Literal["both", "generator"]] = "both"

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Check that every discriminator is of the required kind.

        Raises:
            UserError: the loss needs scores and a discriminator returns energies, or vice versa.
        """
        for role, network in networks.items():
            kind = getattr(network, "critic", "score")
            if "discriminator" in role and kind != self.critic:
                way = "use an autoencoder as the discriminator" if self.critic == "energy" else "use another network"
                raise UserError(
                    f"{type(self).__name__} needs a discriminator that returns {PLURAL[self.critic]}, and "
                    f"{type(network).__name__} returns {PLURAL[kind]}",
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
    """Return the logits in float32 or float64, since a mean in bf16 would have three significant digits."""
    return output.logits.to(torch.promote_types(output.logits.dtype, torch.float32))
