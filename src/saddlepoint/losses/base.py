"""What every adversarial objective promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from saddlepoint.types import CriticOutput


class AdversarialLoss(nn.Module, ABC):
    """An objective of the two-player game, as a pure function of what the critic says.

    A subclass states both players' losses, to be *minimised*. Logits are [N], or [N, 1, h, w] for a critic of patches,
    over all of which a loss averages. A loss with a state keeps it in buffers.

    Attributes:
        needs_real_in_generator: the generator's loss compares with the critic's output on real samples.
        batch_coupled: the value depends on the whole batch at once, so it may not be split for accumulation.
    """

    needs_real_in_generator: ClassVar[bool] = False
    batch_coupled: ClassVar[bool] = False

    def __init__(self) -> None:  # a signature without nn.Module's *args, so that an unknown key in a file is an error
        super().__init__()

    @abstractmethod
    def discriminator(self, real: CriticOutput, fake: CriticOutput) -> Tensor:
        """Return the discriminator's loss, a scalar, from its outputs on real and on generated samples."""

    @abstractmethod
    def generator(self, fake: CriticOutput, real: CriticOutput | None = None) -> Tensor:
        """Return the generator's loss, a scalar, from outputs on generated and, if needed, on real samples."""


def scores(output: CriticOutput) -> Tensor:
    """Return the logits in float32 or wider: a mean of bf16 scores would keep three digits."""
    return output.logits.to(torch.promote_types(output.logits.dtype, torch.float32))
