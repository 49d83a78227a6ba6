"""Metz et al. 2017, "Unrolled Generative Adversarial Networks", arXiv:1611.02163."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import NonNegativeInt
from torch import Tensor, nn
from torch.func import functional_call

from saddlepoint import trees
from saddlepoint.compilation import uncompiled
from saddlepoint.errors import UserError
from saddlepoint.networks.layers.precision import full_precision
from saddlepoint.systems.gan import GAN
from saddlepoint.systems.rules import rule_of
from saddlepoint.turns import Turn
from saddlepoint.types import Batch, CriticOutput


class UnrolledGAN(GAN):
    """A GAN whose generator is trained against the discriminator after ``unrolled_steps`` further steps.

    With the value function f that D maximizes, which is minus its loss (section 2.3),

        θ_D⁰ = θ_D,   θ_Dⁱ⁺¹ = θ_Dⁱ + step(∂f(θ_G, θ_Dⁱ) / ∂θ_Dⁱ),   f_K(θ_G, θ_D) = f(θ_G, θ_Dᴷ(θ_G, θ_D))

    G minimizes f_K, with gradients through all K steps. ``step`` is the update rule of D's optimizer, starting from its
    current state. All steps use the real and generated samples of the turn, as in the authors' code. D's weights,
    running statistics and optimizer are not changed. K = 0 is the GAN. The unrolled steps are computed in float32; on
    several ranks, each rank computes them on its part of the batch.

    Args:
        unrolled_steps: the paper's K; 5 in its figure 2.
        surrogate: G's objective at the unrolled weights of D. ``value`` is f, as in the paper, including the term of
            real samples, which depends on G through D's steps. ``generator`` is the generator's objective of the loss,
            such as the non-saturating one.
        gan: see :class:`~saddlepoint.systems.gan.GAN`.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        unrolled_steps: NonNegativeInt = 5,
        surrogate: Literal["value", "generator"] = "value",
        **gan: Any,
    ) -> None:
        super().__init__(networks, **gan)
        self.unrolled_steps, self.surrogate = unrolled_steps, surrogate
        if unrolled_steps > 0:
            self._check_discriminator()
            self._check_surrogate()

    def _check_discriminator(self) -> None:
        """Check that the unrolled steps equal D's steps.

        Raises:
            UserError: D has regularizers, gradient clipping or an unsupported optimizer, gradients are accumulated, or
                G's batch is larger than D's.
        """
        player = self.players["discriminator"]
        if player.regularizers:
            raise UserError(
                f"unrolling does not support regularizers of the discriminator, got {', '.join(player.regularizers)}",
                "regularizers",
                "leave it out, or set unrolled_steps to 0",
            )
        if player.gradient_clip is not None:
            raise UserError("unrolling does not support gradient clipping", "gradient_clip", "set it to null")
        if self.accumulate > 1:
            raise UserError("unrolling does not support gradient accumulation", "accumulate", "set it to 1")
        if self.generator_batch_multiple > 1:
            raise UserError(
                "unrolling needs as many generated as real samples", "generator_batch_multiple", "set it to 1"
            )
        rule_of(player.build_optimizer())

    def _check_surrogate(self) -> None:
        """Check that the surrogate uses the loss's generator objective if the loss modifies only that.

        Raises:
            UserError: ``surrogate="value"``, which does not use the generator's objective.
        """
        if self.surrogate == "value" and self.loss.changes == "generator":
            raise UserError(
                f"{type(self.loss).__name__} changes only G's objective, which surrogate=value does not use",
                "surrogate",
                "set it to generator, or choose another loss",
            )

    def generator_loss(self, batch: Batch) -> Turn:
        """Return G's objective at the unrolled weights of D."""
        if self.unrolled_steps == 0:
            return super().generator_loss(batch)
        z = self.draw_latents(len(batch))
        fake, generate = self.generated(z, batch.condition)
        with full_precision(self.device), uncompiled():  # D is differentiated twice
            critic = self._critic(self.look_ahead(batch.samples, fake, batch.condition))
            if self.surrogate == "value" or self.needs_real_in_generator:
                judged = self.judge(batch.samples, fake, batch.condition, critic)
                outputs = dict(zip(("real", "fake"), judged, strict=True))
            else:
                outputs = {"fake": critic(self.augment(fake), batch.condition)}
            whole = {key: self.of_all_ranks(output) for key, output in outputs.items()}
            if self.surrogate == "value":
                loss = -self.loss.discriminator(whole["real"], whole["fake"])
            else:
                loss = self.loss.generator(whole["fake"], whole.get("real"))
        return self.record_of(loss, batch, fake, z, outputs, generate)

    def look_ahead(self, real: Tensor, fake: Tensor, condition: trees.Tree) -> dict[str, Tensor]:
        """Return D's weights by name after ``unrolled_steps`` steps, differentiable in the generated samples.

        Args:
            real: real samples, [N, ...].
            fake: generated samples, [N, ...], with the generator's autograd graph.
            condition: the condition of both, a tree of [N, ...], or None.
        """
        rule = rule_of(self.raw_optimizers[self.players["discriminator"].index])
        own = dict(self.discriminator.named_parameters())
        weights = {name: parameter.detach().clone().requires_grad_() for name, parameter in own.items()}
        trained = {id(parameter) for parameter in self.players["discriminator"].parameters}
        names = [name for name, parameter in own.items() if id(parameter) in trained]
        state = rule.start([own[name] for name in names])
        with torch.enable_grad():
            for _ in range(self.unrolled_steps):
                judged = self.judge(real, fake, condition, self._critic(weights))
                loss = self.loss.discriminator(*(self.of_all_ranks(output) for output in judged))
                before = [weights[name] for name in names]
                gradients = torch.autograd.grad(loss, before, create_graph=True, materialize_grads=True)
                weights |= dict(zip(names, rule.step(before, gradients, state), strict=True))
        return weights

    def _critic(self, weights: Mapping[str, Tensor]) -> _Future:
        return _Future(self.discriminator, weights)


class _Future:
    """A discriminator with other weights. Its forward pass does not change the discriminator's buffers."""

    def __init__(self, network: nn.Module, weights: Mapping[str, Tensor]) -> None:
        self.network, self.weights = network, weights

    def __call__(self, samples: Tensor, condition: trees.Tree) -> CriticOutput:
        buffers = {name: buffer.clone() for name, buffer in self.network.named_buffers()}
        output: CriticOutput = functional_call(self.network, {**self.weights, **buffers}, (samples, condition))
        return output
