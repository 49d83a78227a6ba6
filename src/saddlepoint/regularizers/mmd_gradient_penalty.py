"""Bińkowski et al. 2018, "Demystifying MMD GANs", arXiv:1801.01401."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from saddlepoint.compilation import uncompiled
from saddlepoint.losses.kernels import Kernel, KernelName, witness
from saddlepoint.networks.layers.precision import at_least_float32, full_precision
from saddlepoint.networks.layers.statistics import frozen_statistics
from saddlepoint.regularizers.gradient_penalty import GradientPenalty
from saddlepoint.regularizers.input_gradient import by_judgement
from saddlepoint.types import Turn


class MMDGradientPenalty(GradientPenalty):
    """The gradient penalty on what stands for the critic under MMD: the witness function (section 2.2 of the paper).

    λ E(‖∇ f(x̂)‖₂ - 1)² with f(t) = E_x k(h(x), h(t)) - E_y k(h(y), h(t)), where h are the critic's features, x the
    turn's real and y its generated samples on this rank, and x̂ lies between them as in
    :class:`~saddlepoint.regularizers.gradient_penalty.GradientPenalty`. The gradient in the critic's weights passes
    through h(x) and h(y) too. In float32: h(x) and h(y) are the turn's, and computed once more under autocast.
    """

    batch_coupled = True
    acts_on_logits = False

    def __init__(
        self,
        weight: NonNegativeFloat = 1.0,
        player: str = "discriminator",
        interval: PositiveInt = 1,
        center: NonNegativeFloat = 1.0,
        kernel: KernelName = "rational_quadratic",
        scales: Sequence[PositiveFloat] | None = None,
    ) -> None:
        """Take the penalty's settings.

        Args:
            weight: the paper's λ.
            player: whose gradient is penalised.
            interval: turns of that player from one penalty to the next.
            center: the norm that is asked for.
            kernel: the loss's.
            scales: the loss's.

        Raises:
            UserError: a scale makes no kernel.
        """
        super().__init__(weight, player, interval, center)
        self.kernel = Kernel(kernel, scales)

    def penalty(self, turn: Turn) -> Tensor:
        """Return λ E(‖∇ f(x̂)‖₂ - center)², a scalar.

        Raises:
            UserError: the turn has no real or no generated samples.
        """
        mixed = self._interpolates(turn).requires_grad_()
        assert turn.real is not None
        assert turn.fake is not None
        with full_precision(mixed.device), frozen_statistics(turn.networks[self.player]), uncompiled():
            x, y = (self._of_turn(turn, kind, samples) for kind, samples in (("real", turn.real), ("fake", turn.fake)))
            t = self._features(turn, mixed)
            (gradient,) = torch.autograd.grad(witness(self.kernel, x, y, t).sum(), mixed, create_graph=True)
        norms = torch.linalg.vector_norm(by_judgement(turn.networks[self.player], gradient), dim=1)
        turn.logs["gradient_norm"] = norms.detach().mean()
        return self.weight * (norms - self.center).square().mean()

    def _of_turn(self, turn: Turn, kind: str, samples: Tensor) -> Tensor:
        """Return the features of the turn's own samples, which it has computed, unless in fewer digits."""
        if kind in turn.outputs and turn.outputs[kind].features.dtype == torch.float32 and not self._rounded(samples):
            return turn.outputs[kind].features
        return self._features(turn, samples)

    @staticmethod
    def _rounded(samples: Tensor) -> bool:
        return torch.is_autocast_enabled(samples.device.type)

    def _features(self, turn: Turn, samples: Tensor) -> Tensor:
        labels = None if turn.labels is None else turn.labels[: len(samples)]
        features: Tensor = turn.networks[self.player](turn.augment(at_least_float32(samples)), labels).features
        return features
