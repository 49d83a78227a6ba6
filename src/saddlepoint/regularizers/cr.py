"""Zhang et al. 2020, "Consistency Regularization for Generative Adversarial Networks", arXiv:1910.12027."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import NonNegativeInt
from torch import Tensor, nn

from saddlepoint import trees
from saddlepoint.augment.base import refuse_points
from saddlepoint.augment.geometry import shift_and_flip
from saddlepoint.errors import UserError
from saddlepoint.regularizers.base import Regularizer
from saddlepoint.schedules import Weight
from saddlepoint.turns import Turn, sample_scores


class CR(Regularizer):
    """Consistency regularization of the critic on real images, λ E (D(x) - D(T(x)))² (equation 3).

    T is a horizontal flip with probability ½ and a random translation (section 3.1), with reflection at the borders.

    Args:
        weight: the paper's λ.
        shift: maximum translation in pixels; 4 in the paper, for 32 px.
        knobs: see :class:`~saddlepoint.regularizers.base.Regularizer`.
    """

    acts_on_logits = True

    def __init__(self, weight: Weight = 10.0, shift: NonNegativeInt = 4, **knobs: Any) -> None:
        super().__init__(weight, **knobs)
        self.shift = shift

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Check that the critic is for images.

        Raises:
            UserError: it is for points, or does not exist.
        """
        super().check(networks)
        refuse_points(networks[self.network], f"{type(self).__name__} shifts and flips images")

    def penalty(self, turn: Turn) -> Tensor:
        """Return λ E (D(x) - D(T(x)))² on the turn's real images, a scalar.

        Raises:
            UserError: the turn lacks D's output on real images, or D is conditioned on images.
        """
        return self.weight * self.change(turn, "real", self.moved(self.single(self.real(turn)), turn.random))

    def change(self, turn: Turn, kind: str, moved: Tensor) -> Tensor:
        """Return E (D(x) - D(T(x)))², a scalar.

        Args:
            turn: a turn with the critic's outputs D(x).
            kind: the kind of x, "real" or "fake".
            moved: T(x), in the same order as x. The turn's augments are applied to it.

        Raises:
            UserError: the turn lacks D(x), or D is conditioned on images, to which T is not applied.
        """
        self.judged(turn, kind)
        critic = self.critic(turn)
        if any(tensor.dim() > 2 for tensor in trees.leaves(critic.condition)):
            problem = f"{type(self).__name__} does not support a discriminator that is conditioned on images"
            raise UserError(problem, None, "choose another regularizer")
        return (sample_scores(turn.outputs[kind]) - sample_scores(critic(moved))).square().mean()

    def moved(self, images: Tensor, random: torch.Generator) -> Tensor:
        """Return T(x) for images [N, C, H, W]."""
        n, device, reach = len(images), images.device, self.shift
        down, right = torch.randint(-reach, reach + 1, (2, n), generator=random, device=device)
        flipped = torch.rand(n, generator=random, device=device) < 0.5
        return shift_and_flip(images, down, right, flipped)
