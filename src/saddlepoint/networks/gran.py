"""Im et al. 2016, "Generating images with recurrent adversarial networks", arXiv:1602.05110.

The networks of the published experiments, for images of 8 to 128 px. As there, the transposed convolutions and the last
convolution of the encoder have no normalization, and initial weights are Glorot's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.networks.layers.init import init_xavier
from saddlepoint.networks.layers.precision import ScoreLayer, at_least_float32
from saddlepoint.networks.layers.shapes import image_pyramid
from saddlepoint.types import CriticOutput

WIDEST = 8
"""Maximum number of channels, as a multiple of the width."""


class GRANGenerator(nn.Module):
    """A recurrent generator, which adds an increment ΔC_t to a canvas in each of T steps (section 3).

    With a decoder f, an encoder g and h_c = 0 in the first step,

        h_z = tanh(BN(W z_t)),  h_c = g(ΔC_{t-1}),  ΔC_t = f([h_z, h_c]),  image = tanh(½ Σ_t ΔC_t).

    The weights are the same in all steps. The paper's image is σ(Σ_t ΔC_t) in [0, 1], which is tanh(½ Σ_t ΔC_t) in
    [-1, 1]. BatchNorm has the running statistics of each step, since hidden values of different steps differ.
    """

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        latent_dim: PositiveInt,
        steps: PositiveInt = 5,
        width: PositiveInt = 128,
        units: PositiveInt = 100,
        noise: Literal["shared", "per_step"] = "shared",
        feedback: Literal["increment", "canvas"] = "increment",
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            latent_dim: dimension Z of the latents; a multiple of T for ``per_step``.
            steps: number T of steps.
            width: channels of the layer closest to the image; they double with each level, up to 8 · width.
            units: dimension of h_z and of h_c.
            noise: ``shared`` if z_t = z in all steps, or ``per_step`` if z_t is the t-th of T parts of z.
            feedback: input of g: the last ``increment`` ΔC_{t-1}, or the ``canvas``, the sum of all increments so far.

        Raises:
            UserError: the shape is not supported, or the latents cannot be divided among the steps.
        """
        super().__init__()
        pyramid = image_pyramid("gran", shape)
        if noise == "per_step" and latent_dim % steps:
            problem = f"must be a multiple of the {steps} steps for noise 'per_step', got {latent_dim}"
            raise UserError(problem, "latent_dim", f"set it to {steps * math.ceil(latent_dim / steps)}")
        self.shape, self.latent_dim, self.steps = tuple(shape), latent_dim, steps
        self.units, self.noise, self.feedback = units, noise, feedback
        draws = steps if noise == "per_step" else 1
        channels = [pyramid.channels, *_channels(width, pyramid.levels)]
        base = (channels[-1], pyramid.height, pyramid.width)
        self.project = nn.ModuleList(
            [nn.Linear(latent_dim // draws, units, bias=False), StepNorm(units, draws, images=False), nn.Tanh()]
        )
        decoder: list[nn.Module] = [nn.Linear(2 * units, math.prod(base), bias=False)]
        decoder += [StepNorm(math.prod(base), steps, images=False), nn.ReLU(), nn.Unflatten(1, base)]
        for inputs, outputs in pairwise(reversed(channels)):
            decoder += [nn.ConvTranspose2d(inputs, outputs, 5, 2, 2, output_padding=1), nn.ReLU()]
        self.decoder = nn.ModuleList(decoder[:-1])  # the increments are linear
        encoder: list[nn.Module] = []
        for level, (inputs, outputs) in enumerate(pairwise(channels), start=1):
            last = level == pyramid.levels
            encoder.append(nn.Conv2d(inputs, outputs, 5, 2, 2, bias=last))
            encoder += [nn.ReLU()] if last else [StepNorm(outputs, steps - 1), nn.ReLU()]
        encoder += [nn.Flatten(), nn.Linear(math.prod(base), units, bias=False)]
        encoder += [StepNorm(units, steps - 1, images=False), nn.Tanh()]
        self.encoder = nn.ModuleList(encoder)
        self.apply(init_xavier)

    def increments(self, latents: Tensor) -> Tensor:
        """Return ΔC_1 … ΔC_T, [T, N, C, H, W], of latents [N, Z]."""
        shared = self.noise == "shared"
        draws = [latents] if shared else latents.chunk(self.steps, 1)
        hidden = [_run(self.project, z, step) for step, z in enumerate(draws)]
        increments: list[Tensor] = []
        code = torch.zeros_like(hidden[0])
        for step in range(self.steps):
            if step:
                seen = increments[-1] if self.feedback == "increment" else torch.stack(increments).sum(0)
                code = _run(self.encoder, seen, step - 1)
            joint = torch.cat([hidden[0 if shared else step], code], 1)
            increments.append(at_least_float32(_run(self.decoder, joint, step)))
        return torch.stack(increments)

    def canvases(self, latents: Tensor) -> Tensor:
        """Return the images after each step, [T, N, C, H, W] in [-1, 1]; the last ones are the samples."""
        return torch.tanh(self.increments(latents).cumsum(0) / 2)

    def forward(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map latents [N, Z] to images [N, C, H, W] in [-1, 1]; the condition is ignored."""
        return torch.tanh(self.increments(latents).sum(0) / 2)


class GRANDiscriminator(nn.Module):
    """Strided convolutions with BatchNorm and ReLU, and a layer of tanh units, whose activations are the features."""

    def __init__(self, shape: Sequence[PositiveInt], width: PositiveInt = 40, units: PositiveInt = 100) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            width: channels of the layer closest to the image; they double with each level, up to 8 · width.
            units: number of tanh units.

        Raises:
            UserError: the shape is not supported.
        """
        super().__init__()
        pyramid = image_pyramid("gran", shape)
        self.shape = tuple(shape)
        channels = [pyramid.channels, *_channels(width, pyramid.levels)]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(channels):
            layers += [nn.Conv2d(inputs, outputs, 5, 2, 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        values = channels[-1] * pyramid.height * pyramid.width
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Linear(values, units), nn.Tanh())
        self.logits = ScoreLayer(units)
        self.apply(init_xavier)

    def forward(self, samples: Tensor, condition: Tensor | None = None) -> CriticOutput:
        """Return logits [N] and features [N, F] of images [N, C, H, W]; the condition is ignored."""
        features = self.trunk(samples)
        return CriticOutput(self.logits(features), features)


class StepNorm(nn.Module):
    """Batch normalization with one gain and bias per channel, and the running statistics of each step."""

    def __init__(self, channels: int, steps: int, *, images: bool = True) -> None:
        super().__init__()
        kind = nn.BatchNorm2d if images else nn.BatchNorm1d
        self.norms = nn.ModuleList(kind(channels, affine=False) for _ in range(steps))
        self.gain, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, step: int) -> Tensor:
        """Normalize [N, C] or [N, C, H, W] by the statistics of a step."""
        shape = (-1, *[1] * (x.dim() - 2))
        normal = self.norms[step](x)
        return normal * self.gain.to(x.dtype).view(shape) + self.bias.to(x.dtype).view(shape)


def _run(layers: Iterable[nn.Module], x: Tensor, step: int) -> Tensor:
    """Return the output of a sequence of layers in a step."""
    for layer in layers:
        x = layer(x, step) if isinstance(layer, StepNorm) else layer(x)
    return x


def _channels(width: int, levels: int) -> list[int]:
    """Return the channels of the levels, from the image to the base."""
    return [width * min(2**level, WIDEST) for level in range(levels)]
