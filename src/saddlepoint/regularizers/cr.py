"""Zhang et al. 2020, "Consistency Regularization for Generative Adversarial Networks", arXiv:1910.12027."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import NonNegativeFloat, NonNegativeInt
from torch import Tensor, nn

from saddlepoint import trees
from saddlepoint.augment.base import refuse_points
from saddlepoint.augment.geometry import shift_and_flip
from saddlepoint.errors import UserError
from saddlepoint.regularizers.base import Regularizer
from saddlepoint.turns import Turn, sample_scores


class CR(Regularizer):
    """The critic should judge a real image as it judges the image moved a little: λ E (D(x) - D(T(x)))² (equation 3).

    T mirrors with probability ½ and shifts by up to some pixels each way (section 3.1), reflecting at the borders.

    Args:
        weight: the paper's λ.
        shift: the largest, in pixels; 4 in the paper, for 32 px.
        knobs: see :class:`~saddlepoint.regularizers.base.Regularizer`.
    """

    acts_on_logits = True

    def __init__(self, weight: NonNegativeFloat = 10.0, shift: NonNegativeInt = 4, **knobs: Any) -> None:
        super().__init__(weight, **knobs)
        self.shift = shift

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Refuse points.

        Raises:
            UserError: the data are points, or there is no such network.
        """
        super().check(networks)
        refuse_points(networks[self.network], f"{type(self).__name__} shifts and flips images")

    def penalty(self, turn: Turn) -> Tensor:
        """Return λ E (D(x) - D(T(x)))² on the turn's real images, a scalar.

        Raises:
            UserError: the turn does not judge real images, or judges them beside something else.
        """
        return self.weight * self.change(turn, "real", self.moved(self.single(self.real(turn)), turn.random))

    def change(self, turn: Turn, kind: str, moved: Tensor) -> Tensor:
        """Return E (D(x) - D(T(x)))², a scalar.

        Args:
            turn: with the critic's outputs.
            kind: "real" or "fake": whose outputs D(x) are.
            moved: T(x), as many images in the same order, which are judged through the turn's augments.

        Raises:
            UserError: the critic has not judged such images, or judges each beside an image that T does not move.
        """
        self.judged(turn, kind)
        critic = self.critic(turn)
        if any(tensor.dim() > 2 for tensor in trees.leaves(critic.condition)):
            problem = f"{type(self).__name__} moves images, and this critic judges each beside an image that stays"
            raise UserError(problem, None, "choose another regularizer")
        return (sample_scores(turn.outputs[kind]) - sample_scores(critic(moved))).square().mean()

    def moved(self, images: Tensor, random: torch.Generator) -> Tensor:
        """Return T(x) of images [N, C, H, W]."""
        n, device, reach = len(images), images.device, self.shift
        down, right = torch.randint(-reach, reach + 1, (2, n), generator=random, device=device)
        flipped = torch.rand(n, generator=random, device=device) < 0.5
        return shift_and_flip(images, down, right, flipped)
