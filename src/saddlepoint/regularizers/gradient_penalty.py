"""Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", arXiv:1704.00028."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.networks.layers.precision import at_least_float32, full_precision
from saddlepoint.networks.layers.statistics import frozen_statistics, uses_batch_statistics
from saddlepoint.regularizers.base import Regularizer
from saddlepoint.types import Turn


class GradientPenalty(Regularizer):
    """The two-sided penalty λ E(‖∇D(x̂)‖₂ - 1)² of equation 3.

    x̂ = εx + (1-ε)G(z) with one ε ~ U[0, 1] a sample (algorithm 1, lines 4 and 6), between the real and the generated
    sample of the same index, and the norm is over all of a sample's values. It makes a forward pass of its own in
    float32, autocast or not, which leaves the critic's running statistics as they were. A critic of patches counts as
    the mean of its patches, as in the losses. The mean norm, which should approach 1, goes to
    ``turn.logs["gradient_norm"]``.
    """

    def __init__(
        self,
        weight: NonNegativeFloat = 10.0,
        player: str = "discriminator",
        interval: PositiveInt = 1,
        center: NonNegativeFloat = 1.0,
    ) -> None:
        """Take the penalty's settings.

        Args:
            weight: the paper's λ.
            player: whose gradient is penalised.
            interval: turns of that player from one penalty to the next.
            center: the norm that is asked for.
        """
        super().__init__(player, interval, weight)
        self.center = center

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Refuse BatchNorm in the critic.

        Raises:
            UserError: the critic has BatchNorm, under which one sample's score depends on the others (section 4, "No
                critic batch normalization"), or there is no such player.
        """
        super().check(networks)
        if uses_batch_statistics(networks[self.player]):
            raise UserError(
                f"the gradient penalty is per sample, but the {self.player} has batch normalisation, which mixes "
                "samples: set norm=layer or norm=none"
            )

    def penalty(self, turn: Turn) -> Tensor:
        """Return λ E(‖∇D(x̂)‖₂ - center)², a scalar.

        Where real and generated samples differ in number, the first of each are paired.

        Raises:
            UserError: the turn has no real or no generated samples.
        """
        network = turn.networks[self.player]
        mixed = self._interpolates(turn).requires_grad_()
        labels = None if turn.labels is None else turn.labels[: len(mixed)]
        with full_precision(mixed.device), frozen_statistics(network):
            logits = network(turn.augment(mixed), labels).logits
            score = logits.flatten(1).mean(1) if logits.dim() > 1 else logits
            (gradient,) = torch.autograd.grad(score.sum(), mixed, create_graph=True)
            # Its derivative at a zero gradient is 0 (a subgradient), not NaN: no epsilon under the root is needed.
            norms = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
        turn.logs["gradient_norm"] = norms.detach().mean()
        return self.weight * (norms - self.center).square().mean()

    def _interpolates(self, turn: Turn) -> Tensor:
        if turn.real is None or turn.fake is None:
            raise UserError(
                f"the gradient penalty needs turns that see real and generated samples; '{self.player}' has none"
            )
        n = min(len(turn.real), len(turn.fake))
        real, fake = at_least_float32(turn.real[:n].detach()), at_least_float32(turn.fake[:n].detach())
        epsilon = torch.rand((n, *[1] * (real.dim() - 1)), generator=turn.random, device=real.device, dtype=real.dtype)
        return torch.lerp(fake, real, epsilon)
