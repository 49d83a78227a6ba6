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
    """G plays against the discriminator that D would become in ``unrolled_steps`` steps.

    With f the value that D ascends (section 2.3), minus its loss,

        θ_D⁰ = θ_D,   θ_Dⁱ⁺¹ = θ_Dⁱ + step(∂f(θ_G, θ_Dⁱ) / ∂θ_Dⁱ),   f_K(θ_G, θ_D) = f(θ_G, θ_Dᴷ(θ_G, θ_D))

    and G descends f_K; its gradient flows through all K steps. ``step`` is the rule of D's own optimizer, from its
    present state; all steps see this turn's real samples and fakes, as in the authors' code. D's weights, its running
    statistics and its optimizer stay as they were; with K = 0 this is the GAN. The look-ahead is computed in float32.
    On several ranks each looks ahead on its own share of the batch.

    Args:
        unrolled_steps: the paper's K; 5 in its figure 2.
        surrogate: what G descends at D's future weights: the ``value`` f as in the paper, real samples' part included,
            which D's answer to G moves too; or the loss's own objective of the ``generator``, such as a non-saturating
            one.
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
        """Refuse what the look-ahead would leave out of D's step.

        Raises:
            UserError: D is regularised or clipped, the batch is accumulated, or D's optimizer has no known rule.
        """
        player = self.players["discriminator"]
        if player.regularizers:
            raise UserError(
                f"unrolling looks ahead along D's loss alone, and {', '.join(player.regularizers)} changes D's steps",
                "regularizers",
                "leave it out, or set unrolled_steps to 0",
            )
        if player.gradient_clip is not None:
            raise UserError(
                "unrolling does not clip the gradients of the look-ahead", "gradient_clip", "set it to null"
            )
        if self.accumulate > 1:
            raise UserError("unrolling looks ahead on a whole batch", "accumulate", "set it to 1")
        if self.generator_batch_multiple > 1:
            raise UserError("unrolling looks ahead on G's own fakes", "generator_batch_multiple", "set it to 1")
        rule_of(player.build_optimizer())

    def _check_surrogate(self) -> None:
        """Refuse a loss whose own part the generator would never meet.

        Raises:
            UserError: the loss changes the generator's objective, and G descends the discriminator's.
        """
        if self.surrogate == "value" and self.loss.changes == "generator":
            raise UserError(
                f"{type(self.loss).__name__} changes G's objective, and with surrogate=value G raises D's loss instead",
                "surrogate",
                "set it to generator, or choose another loss",
            )

    def generator_loss(self, batch: Batch) -> Turn:
        """G's objective against the discriminator of the future."""
        if self.unrolled_steps == 0:
            return super().generator_loss(batch)
        z = self.draw_latents(len(batch))
        fake = self.generator(z, batch.condition)
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
        return self.record_of(loss, batch, fake, z, outputs)

    def look_ahead(self, real: Tensor, fake: Tensor, condition: trees.Tree) -> dict[str, Tensor]:
        """Return D's weights by name after ``unrolled_steps`` steps, as functions of the fakes.

        Args:
            real: [N, ...].
            fake: [N, ...], with the generator's graph.
            condition: of both, a tree of [N, ...], or None.
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
    """A discriminator with other weights; what it does to its buffers is forgotten."""

    def __init__(self, network: nn.Module, weights: Mapping[str, Tensor]) -> None:
        self.network, self.weights = network, weights

    def __call__(self, samples: Tensor, condition: trees.Tree) -> CriticOutput:
        buffers = {name: buffer.clone() for name, buffer in self.network.named_buffers()}
        output: CriticOutput = functional_call(self.network, {**self.weights, **buffers}, (samples, condition))
        return output
