"""Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", arXiv:2006.06676."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from saddlepoint import ranks
from saddlepoint.augment.base import Augment, images_in
from saddlepoint.augment.transformations import Transformations, check_images, transform
from saddlepoint.errors import UserError
from saddlepoint.kinds import Fraction
from saddlepoint.parts import Objective
from saddlepoint.turns import Turn


class ADA(Augment):
    """Adaptive discriminator augmentation: random transformations whose probability p adapts to overfitting.

    The overfitting heuristic is r_t = E sign(D(x)) over real training samples (equation 1). After every ``interval``
    turns of D, p is increased if r_t is above its target and decreased if it is below, at a rate that changes p from 0
    to 1 in ``images`` images (section 3.1). The transformations are those of
    :func:`~saddlepoint.augment.transformations.transform`, by default the three sets that perform best in the paper.

    There are three differences from the paper. Geometric transformations are one affine map with bilinear sampling and
    reflection at the borders; the paper uses wavelet filters. p is clipped to [0, 1]; the paper has only the lower
    bound. r_t is the mean sign of D(x) - s, where s is the optimal critic's score for p_data = p_g, which is 0 for the
    logistic losses without label smoothing. With accumulation, r_t is that of the last micro-batch. p and r_t are
    logged in the turns of D as ``ada_probability`` and ``ada_sign``.
    """

    acts_on_logits = True
    undecided = 0.0

    probability: Tensor
    seen: Tensor

    def __init__(
        self,
        target: Annotated[float, Field(ge=-1, le=1)] = 0.6,
        interval: PositiveInt = 4,
        images: PositiveInt = 500_000,
        start: Fraction = 0.0,
        transformations: Sequence[Transformations] = ("blit", "geometric", "color"),
    ) -> None:
        """Set the parameters of section 3.1.

        Args:
            target: target value of r_t.
            interval: number of turns of D between adjustments of p.
            images: number of training images in which p can change from 0 to 1.
            start: initial value of p.
            transformations: sets of transformations to apply.
        """
        super().__init__()
        self.target, self.interval, self.images = target, interval, images
        self.transformations = tuple(transformations)
        self.register_buffer("probability", torch.tensor(float(start)))
        self.register_buffer("seen", torch.zeros(2))  # sum of signs and number of images since the last adjustment

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Check that the discriminator returns scores of images, with 1, 3 or 4 channels for ``color``.

        Raises:
            UserError: it does not.
        """
        if getattr(networks["discriminator"], "critic", "score") == "energy":
            raise UserError(
                "ADA adapts to the sign of the discriminator's scores, and this discriminator returns energies, which "
                "are never negative",
                None,
                "use DiffAugment",
            )
        check_images(networks, self.transformations, "ADA")

    def check_loss(self, loss: Objective) -> None:
        """Set ``undecided``, the score at which the optimal critic is undecided, from the loss.

        Raises:
            UserError: the loss has no such score, or does not use the critic's logits.
        """
        super().check_loss(loss)
        if loss.undecided is None:
            raise UserError(
                f"ADA adapts to the sign of the discriminator's scores, which is arbitrary for {type(loss).__name__}",
                None,
                "use DiffAugment, or another loss",
            )
        self.undecided = loss.undecided

    def forward(self, samples: Tensor, random: torch.Generator) -> Tensor:
        """Return transformed images [N, C, H, W]."""
        return transform(samples, self.probability, random, self.transformations)

    def observe(self, turn: Turn) -> None:
        """Accumulate the signs of D's scores of real samples; adjust p after every ``interval`` turns of D."""
        if "discriminator" not in turn.players or "real" not in turn.outputs:
            return
        images = images_in(turn)
        signs = ranks.mean(turn.outputs["real"].logits.float().sub(self.undecided).sign().mean())
        self.seen += torch.stack([signs * images, images])
        if (turn.turns["discriminator"] + 1) % self.interval == 0:
            r = self.seen[0] / self.seen[1]
            step = (r - self.target).sign() * self.seen[1] / self.images
            self.probability.copy_((self.probability + step).clamp(0, 1))
            self.seen.zero_()
            turn.logs["ada_sign"] = r.float()
        turn.logs["ada_probability"] = self.probability.clone()

    def extra_repr(self) -> str:
        """Return the target, the rate and the transformations."""
        return f"target={self.target}, images={self.images}, transformations={self.transformations}"
