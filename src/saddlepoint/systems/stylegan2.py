"""Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", arXiv:1912.04958.

The game is that of a GAN. Styles of two latents are mixed in training (Karras et al. 2019, arXiv:1812.04948, section
3.1), the noise of the layers is drawn with the latents, and truncation acts on styles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from saddlepoint import randomness, trees
from saddlepoint.errors import UserError
from saddlepoint.kinds import Fraction
from saddlepoint.networks.layers.modulated import ModulatedConv2d
from saddlepoint.systems import projection
from saddlepoint.systems.capabilities import Draw, Export
from saddlepoint.systems.gan import GAN
from saddlepoint.systems.sampling import evaluating
from saddlepoint.turns import Bound, Styled
from saddlepoint.types import Batch, ImageBatch

PROJECTION_SAMPLES = 2048
"""Number of styles whose mean and deviation the projection of images uses; the paper has 10,000."""


class StyleGAN2(GAN):
    """A GAN whose generator G(z) = g(f(z)) has a mapping network f and a synthesis network g.

    Args:
        networks: ``generator``, with methods ``map``, ``truncate`` and ``synthesise`` such as those of
            :class:`~saddlepoint.networks.StyleGAN2Generator`, and ``discriminator``.
        mixing: probability of style mixing in a turn: from a random layer on, styles are those of other latents.
        truncation_cutoff: number of styles, from the coarsest, that truncation acts on; None is all.
        gan: other arguments; see :class:`~saddlepoint.systems.gan.GAN`.

    Raises:
        UserError: the generator has no styles.
    """

    takes: ClassVar[tuple[type[Batch], ...]] = (ImageBatch,)
    generator: Any
    discriminator: Any

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        mixing: Fraction = 0.9,
        truncation_cutoff: PositiveInt | None = None,
        **gan: Any,
    ) -> None:
        if not all(hasattr(networks.get("generator"), name) for name in ("map", "truncate", "synthesise")):
            problem = "StyleGAN2 needs a generator with styles"
            raise UserError(problem, "networks.generator", "choose network stylegan2")
        super().__init__(networks, **gan)
        self.mixing, self.truncation_cutoff = mixing, truncation_cutoff

    # The algorithm -------------------------------------------------------------------------------------------------

    def generated(self, z: Tensor, condition: trees.Tree) -> tuple[Tensor, Bound]:
        """Return generated images of latents [N, Z], with noise and mixed styles.

        Returns:
            The images, and the generator that regularizers call; penalties on styles have new noise.
        """
        noise, others, cut = self.draw_noise(len(z)), None, None
        if self.mixing:
            others, cut = self.draw_latents(len(z)), self.draw_cut()
        images: Tensor = self.generator(z, condition, noise, others, cut)
        return images, Styled(self.generator, condition, noise=self.draw_noise, used=(noise, others, cut))

    def draw_cut(self) -> Tensor:
        """Return the index of the first style that is replaced: 1 … L - 1, or with probability 1 - mixing L."""
        count: int = self.generator.style_count
        mixed, where = torch.rand(2, generator=self.random, device=self.device)
        return torch.where(mixed < self.mixing, 1 + (where * (count - 1)).long(), count)

    def draw_noise(self, n: int) -> Tensor:
        """Return the noise of the layers of n samples, [n, P], drawn from the turn's generator."""
        return torch.randn(n, self.generator.noise_dim, generator=self.random, device=self.device)

    # Public interface ----------------------------------------------------------------------------------------------

    def draw(self, seed: int, start: int, count: int, truncation: float = 1.0) -> Draw:
        """Return latents, not truncated, noise of the layers, and labels, keyed by (seed, sample index)."""
        found = super().draw(seed, start, count)
        noise = [
            torch.randn(self.generator.noise_dim, generator=randomness.generator("cpu", seed, "layer noise", index))
            for index in range(start, start + count)
        ]
        return replace(found, noise=torch.stack(noise), truncation=truncation)

    def generate(self, draw: Draw, ema: bool) -> Tensor:
        """Return images in [-1, 1]."""
        return self.from_styles(self.styles(draw, ema), draw.noise, ema)

    def styles(self, draw: Draw, ema: bool = True) -> Tensor:
        """Return truncated styles [N, L, W] of a draw on the system's device."""
        network: Any = self.network("generator", ema)
        with evaluating(network):
            w = network.map(draw.latents, draw.labels)
            styles: Tensor = network.truncate(w, draw.truncation, self.truncation_cutoff)
        return styles

    def from_styles(self, styles: Tensor, noise: trees.Tree = None, ema: bool = True) -> Tensor:
        """Return images [N, C, H, W] in [-1, 1] of styles [N, L, W] and noise [N, P]; None is no noise."""
        network: Any = self.network("generator", ema)
        with evaluating(network):
            images: Tensor = network.synthesise(styles, noise)
        return images.clamp(-1, 1)

    @property
    def style_count(self) -> int:
        """Number of styles of an image."""
        return int(self.generator.style_count)

    def style_weight(self, ema: bool = True) -> Tensor:
        """Return the weights [A, W] of all affine maps from styles to the scales of channels, one below the other."""
        layers = [m for m in self.network("generator", ema).modules() if isinstance(m, ModulatedConv2d)]
        return torch.cat([layer.affine.weight.detach() for layer in layers])

    def project(self, images: Tensor, seed: int = 0, ema: bool = True) -> Tensor:
        """Return styles [N, L, W] of images [N, C, H, W], without noise; see :func:`projection.by_gradient`."""
        network: Any = self.network("generator", ema)
        frozen = [p for one in (network, self.discriminator) for p in one.parameters() if p.requires_grad]
        for parameter in frozen:
            parameter.requires_grad_(False)
        try:
            with evaluating(network, self.discriminator):
                draw = super().draw(seed, 0, PROJECTION_SAMPLES).to(self.device)
                with torch.no_grad():
                    known = network.map(draw.latents, draw.labels)[:, 0]
                found = projection.by_gradient(
                    lambda w: network.synthesise(w[:, None].expand(-1, self.style_count, -1)),
                    lambda x: self.discriminator.trunk(x).flatten(1),
                    images.to(self.device),
                    known,
                    seed,
                )
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)
        return found[:, None].expand(-1, self.style_count, -1)

    def exports(self, ema: bool = True) -> Mapping[str, Export]:
        """Return the generator, whose inputs include the noise of the layers; without truncation."""
        (export,) = super().exports(ema).values()
        inputs = {**export.inputs, "noise": torch.zeros(2, self.generator.noise_dim)}
        return {"generator": export._replace(inputs=inputs)}
