"""Bińkowski et al. 2018, "Demystifying MMD GANs", arXiv:1801.01401."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import PositiveFloat
from torch import Tensor

from saddlepoint import trees
from saddlepoint.compilation import uncompiled
from saddlepoint.losses.kernels import Kernel, KernelName, witness
from saddlepoint.networks.layers.precision import at_least_float32, full_precision
from saddlepoint.regularizers.gradient_penalty import GradientPenalty
from saddlepoint.schedules import Weight
from saddlepoint.turns import Critic, Turn


class MMDGradientPenalty(GradientPenalty):
    """The gradient penalty on MMD's witness function f, λ E(‖∇f(x̂)‖₂ - 1)² (section 2.2).

    f(t) = E_x k(h(x), h(t)) - E_y k(h(y), h(t)), where h are the critic's features, x real and y generated samples of
    this rank, and x̂ interpolates between them as in
    :class:`~saddlepoint.regularizers.gradient_penalty.GradientPenalty`. The penalty depends on the critic's weights
    also through h(x) and h(y), which are those of the turn, or recomputed in float32 if autocast is enabled.

    Args:
        weight: the paper's λ.
        kernel: kernel of the MMD loss.
        scales: scales of the MMD loss.
        knobs: see :class:`~saddlepoint.regularizers.gradient_penalty.GradientPenalty`.

    Raises:
        UserError: there is no scale, or a scale is out of range.
    """

    batch_coupled = True
    acts_on_logits = False

    def __init__(
        self,
        weight: Weight = 1.0,
        kernel: KernelName = "rational_quadratic",
        scales: Sequence[PositiveFloat] | None = None,
        **knobs: Any,
    ) -> None:
        super().__init__(weight, **knobs)
        self.kernel = Kernel(kernel, scales)

    def penalty(self, turn: Turn) -> Tensor:
        """Return λ E(‖∇f(x̂)‖₂ - center)², a scalar.

        Raises:
            UserError: the turn has no real or no generated samples, or no critic.
        """
        critic, t = self.critic(turn), trees.map_tree(Tensor.requires_grad_, self.interpolates(turn))
        parts = list(trees.leaves(t))
        with full_precision(parts[0].device), uncompiled():
            x, y = self._features(turn, critic, "real"), self._features(turn, critic, "fake")
            values = witness(self.kernel, x, y, critic(t).features)
            gradients = torch.autograd.grad(values.sum(), parts, create_graph=True)
        norms = torch.linalg.vector_norm(critic.by_output(gradients), dim=1)
        turn.logs["gradient_norm"] = norms.detach().mean()
        return self.weight * (norms - self.center).square().mean()

    @staticmethod
    def _features(turn: Turn, critic: Critic, kind: str) -> Tensor:
        """Return the features of the turn's samples: those of the turn if they are in full float32, else new ones."""
        samples = turn.real if kind == "real" else turn.fake
        device = next(trees.leaves(samples)).device
        output, rounded = turn.outputs.get(kind), torch.is_autocast_enabled(device.type)
        if output is not None and output.features.dtype == torch.float32 and not rounded:
            return output.features
        return critic(trees.map_tree(at_least_float32, samples)).features
