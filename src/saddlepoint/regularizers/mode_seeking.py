"""Mao et al. 2019, "Mode Seeking Generative Adversarial Networks for Diverse Image Synthesis", arXiv:1903.05628."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from saddlepoint import ranks
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.regularizers.base import Regularizer
from saddlepoint.schedules import Weight
from saddlepoint.turns import Turn

EPSILON = 1e-5
"""Bounds the penalty if the generator ignores the latents, as in the paper's code."""


class ModeSeeking(Regularizer):
    """Maximizes the ratio of the distances of samples and of their latents (equation 1).

    The ratio is E [d(G(c, z₁), G(c, z₂)) / d(z₁, z₂)], where d is the mean absolute difference; as in the paper's code,
    its inverse is minimized. Pairs are consecutive samples of the batch. If samples depend on more than latents, the
    second sample of each pair is generated again with the label, and the noise of the layers, of the first. The ratio
    is logged as ``mode_ratio``.

    Args:
        weight: the paper's λ_ms. The paper's code adds one term to the sum of two adversarial losses, one for each
            sample of a pair; relative to one adversarial loss, its λ_ms = 1 is a weight of 0.5.
        player: player to whose loss the penalty is added.
        ratio: ``mean_of_ratios``, as in equation 1, or ``ratio_of_means``, E d(G(c, z₁), G(c, z₂)) / E d(z₁, z₂), as in
            the paper's code.
        knobs: see :class:`~saddlepoint.regularizers.base.Regularizer`.
    """

    batch_coupled = True

    def __init__(
        self,
        weight: Weight = 1.0,
        player: str = "generator",
        ratio: Literal["mean_of_ratios", "ratio_of_means"] = "mean_of_ratios",
        **knobs: Any,
    ) -> None:
        super().__init__(weight, player, **knobs)
        self.ratio = ratio

    def penalty(self, turn: Turn) -> Tensor:
        """Return λ / (ratio + 1e-5) over the pairs of all ranks, a scalar.

        It is 0 if no rank has two samples.

        Raises:
            UserError: the turn has no latents or generator, or its samples are pairs.
        """
        generate, fake = self.generator(turn), self.single(turn.fake)
        latents = turn.latents.roll(1, 0)
        others = fake.roll(1, 0) if generate.of_latents_alone else generate(latents)
        pairs = slice(None) if len(latents) > 1 else slice(0)  # one sample has no other; all ranks must gather
        distances = torch.stack([_distance(fake, others), _distance(turn.latents, latents)], 1)
        of_samples, of_latents = ranks.gather(distances[pairs]).unbind(1)
        if not len(of_latents):
            return turn.loss.new_zeros(())
        if self.ratio == "mean_of_ratios":
            ratio = (of_samples / of_latents).mean()
        else:
            ratio = of_samples.mean() / of_latents.mean()
        turn.logs["mode_ratio"] = ratio.detach()
        return self.weight / (ratio + EPSILON)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return torch.sub(at_least_float32(a), at_least_float32(b)).abs().flatten(1).mean(1)
