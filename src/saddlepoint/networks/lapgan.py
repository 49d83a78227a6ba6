"""Denton et al. 2015, "Deep Generative Image Models using a Laplacian Pyramid of Adversarial Networks".

arXiv:1506.05751. The networks of the published code for CIFAR-10 (facebookarchive/eyescream), for any number of levels.
Level 0 is the finest. All outputs are linear, since differences of images in [-1, 1] are in [-2, 2].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import one_hot

from saddlepoint.errors import UserError
from saddlepoint.kinds import Fraction
from saddlepoint.networks.layers.conditioning import classes_of, required
from saddlepoint.networks.layers.init import init_weights
from saddlepoint.networks.layers.laplacian import sizes, up
from saddlepoint.networks.layers.precision import ScoreLayer, at_least_float32
from saddlepoint.networks.layers.shapes import check_image
from saddlepoint.types import CriticOutput

Conditioning = Literal["none", "concat"]
"""How labels are used: not at all, or as an additional plane of the input, see :class:`LabelPlane`."""

SMALLEST = 2
"""Minimum length of a side of the coarsest level, in pixels."""


class LAPGANGenerator(nn.Module):
    """The generators of all levels, which together map latents to images.

    With the generators G_k of the levels, from the coarsest K to the finest 0 (equation 6 of the paper),

        Ĩ_K = G_K(z_K),  Ĩ_k = u(Ĩ_{k+1}) + G_k(z_k, u(Ĩ_{k+1})).

    Attributes:
        levels: the generators, finest first; each maps (z_k, u(Ĩ_{k+1}), labels) to Ĩ_k.
        latent_dim: dimension of all latents together. They are in the order in which they are used, z_K … z_0.
    """

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        levels: PositiveInt = 3,
        latent_dim: PositiveInt = 100,
        width: PositiveInt = 64,
        units: PositiveInt = 1600,
        conditioning: Conditioning = "none",
        num_classes: NonNegativeInt = 0,
    ) -> None:
        """Build the networks.

        Args:
            shape: (C, H, W) of any size.
            levels: number of levels; the sides of the coarsest are at least 2 px.
            latent_dim: dimension of z_K, the latents of the coarsest level. The others are planes of noise.
            width: channels of the convolutions of the finer levels.
            units: units of the hidden layers of the coarsest level.
            conditioning: how labels are used.
            num_classes: number of classes of the data; ignored without conditioning.

        Raises:
            UserError: there are too many levels, or the data has no labels.
        """
        super().__init__()
        self.shape = check_image("lapgan", shape)
        self.num_classes = classes_of(conditioning, num_classes)
        *finer, coarsest = _shapes(self.shape, levels)
        self.levels = nn.ModuleList(GeneratorLevel(one, width, self.num_classes) for one in finer)
        self.levels.append(CoarsestGeneratorLevel(coarsest, latent_dim, units, self.num_classes))
        self.latent_dim = sum(self.latent_dims())

    def latent_dims(self, finest: int = 0) -> list[int]:
        """Return the dimensions of z_K … z_finest."""
        return [int(level.latent_dim) for level in self.levels[finest:]][::-1]  # type: ignore[arg-type]

    def stages(self, latents: Tensor, labels: Tensor | None = None, finest: int = 0) -> list[Tensor]:
        """Return Ĩ_K … Ĩ_finest, [N, C, H_k, W_k] each, before they are clamped.

        Args:
            latents: z_K … z_finest, [N, dimensions of all of them].
            labels: long [N], if conditional.
            finest: the last level.
        """
        images: list[Tensor] = []
        for level, z in zip(reversed(self.levels[finest:]), latents.split(self.latent_dims(finest), 1), strict=True):
            coarse = up(images[-1], level.shape[1:]) if images else None  # type: ignore[index, arg-type]
            images.append(level(z, coarse, labels))
        return images

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents [N, Z], and labels, long [N], if conditional, to images [N, C, H, W], clamped to [-1, 1]."""
        return self.stages(latents, labels)[-1].clamp(-1, 1)


class LAPGANDiscriminator(nn.Module):
    """The discriminators of all levels.

    Attributes:
        levels: the discriminators, finest first; each maps images of its level and labels to a critic's output.
    """

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        levels: PositiveInt = 3,
        width: PositiveInt = 64,
        units: PositiveInt = 1600,
        dropout: Fraction = 0.5,
        conditioning: Conditioning = "none",
        num_classes: NonNegativeInt = 0,
    ) -> None:
        """Build the networks; see :class:`LAPGANGenerator` for the other arguments and errors.

        Args:
            shape: (C, H, W) of any size.
            levels: number of levels.
            width: channels of the convolutions of the finer levels.
            units: units of the hidden layers of the coarsest level.
            dropout: dropout probability of hidden activations.
            conditioning: how labels are used.
            num_classes: number of classes of the data; ignored without conditioning.
        """
        super().__init__()
        self.shape = check_image("lapgan", shape)
        classes = classes_of(conditioning, num_classes)
        *finer, coarsest = _shapes(self.shape, levels)
        self.levels = nn.ModuleList(DiscriminatorLevel(one, width, dropout, classes) for one in finer)
        self.levels.append(CoarsestDiscriminatorLevel(coarsest, units, dropout, classes))


class LabelPlane(nn.Module):
    """A linear map of one-hot labels to a plane, which is concatenated with images (section 4.1).

    Without classes, images are returned unchanged.
    """

    def __init__(self, num_classes: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.kind: Conditioning = "concat" if num_classes else "none"
        self.num_classes, self.size = num_classes, size
        self.planes = 1 if num_classes else 0
        self.plane = nn.Linear(num_classes, math.prod(size), bias=False) if num_classes else None

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Return images [N, C, H, W] joined with the planes of labels, long [N], [N, C + 1, H, W]."""
        if self.plane is None:
            return images
        codes = one_hot(required(labels), self.num_classes).to(images.dtype)
        return torch.cat([images, self.plane(codes).unflatten(1, (1, *self.size)).to(images.dtype)], 1)


class GeneratorLevel(nn.Module):
    """A generator of the difference image of a level: three convolutions of the coarse image and a plane of noise."""

    def __init__(self, shape: tuple[int, int, int], width: int, num_classes: int) -> None:
        super().__init__()
        channels, *size = shape
        self.shape, self.latent_dim, self.num_classes = shape, math.prod(size), num_classes
        self.labels = LabelPlane(num_classes, shape[1:])
        self.trunk = nn.Sequential(
            nn.Conv2d(channels + 1 + self.labels.planes, width, 7, padding=3),
            nn.ReLU(),
            nn.Conv2d(width, width, 7, padding=3),
            nn.ReLU(),
            nn.Conv2d(width, channels, 5, padding=2),
        )

    def forward(self, latents: Tensor, coarse: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return l + G_k(z, l), [N, C, H, W].

        Args:
            latents: z, [N, H · W].
            coarse: l, the enlarged image of the next coarser level, [N, C, H, W].
            labels: long [N], if conditional.
        """
        noise = latents.unflatten(1, (1, *self.shape[1:]))
        inputs = self.labels(torch.cat([coarse, noise.to(coarse.dtype)], 1), labels)
        return coarse + at_least_float32(self.trunk(inputs))


class CoarsestGeneratorLevel(nn.Module):
    """A generator of the coarsest image: a perceptron with a layer of ReLU and one of sigmoid units."""

    def __init__(self, shape: tuple[int, int, int], latent_dim: int, units: int, num_classes: int) -> None:
        super().__init__()
        self.shape, self.latent_dim, self.num_classes = shape, latent_dim, num_classes
        self.labels = LabelPlane(num_classes, shape[1:])
        inputs = latent_dim + self.labels.planes * math.prod(shape[1:])
        hidden = [nn.Linear(inputs, units), nn.ReLU(), nn.Linear(units, units), nn.Sigmoid()]
        self.trunk = nn.Sequential(*hidden, nn.Linear(units, math.prod(shape)))
        init_weights(self.trunk, "normal", 0.05)

    def forward(self, latents: Tensor, coarse: None = None, labels: Tensor | None = None) -> Tensor:
        """Map latents [N, Z] to images [N, C, H, W]; there is no coarser image."""
        if self.num_classes:
            empty = latents.new_empty(len(latents), 0, *self.shape[1:])
            latents = torch.cat([latents, self.labels(empty, labels).flatten(1)], 1)
        return at_least_float32(self.trunk(latents)).unflatten(1, self.shape)


class DiscriminatorLevel(nn.Module):
    """A discriminator of images of a level: two convolutions, of which the second has a stride of 2."""

    def __init__(self, shape: tuple[int, int, int], width: int, dropout: float, num_classes: int) -> None:
        super().__init__()
        self.shape, self.num_classes = shape, num_classes
        self.labels = LabelPlane(num_classes, shape[1:])
        self.trunk = nn.Sequential(
            nn.Conv2d(shape[0] + self.labels.planes, width, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(width, width, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Flatten(),
        )
        self.logits = ScoreLayer(width * math.prod(sizes(*shape[1:], 2)[1]))

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> CriticOutput:
        """Return logits [N] and features [N, F] of images [N, C, H, W]."""
        features = self.trunk(self.labels(samples, labels))
        return CriticOutput(self.logits(features), features)


class CoarsestDiscriminatorLevel(nn.Module):
    """A discriminator of the coarsest images: a perceptron with two hidden layers of ReLU and dropout."""

    def __init__(self, shape: tuple[int, int, int], units: int, dropout: float, num_classes: int) -> None:
        super().__init__()
        self.shape, self.num_classes = shape, num_classes
        self.labels = LabelPlane(num_classes, shape[1:])
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in pairwise([(shape[0] + self.labels.planes) * math.prod(shape[1:]), units, units]):
            layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout)]
        self.trunk = nn.Sequential(*layers)
        self.logits = ScoreLayer(units)
        init_weights(self.trunk, "normal", 0.005)
        init_weights(self.logits, "normal", 0.005)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> CriticOutput:
        """Return logits [N] and features [N, F] of images [N, C, H, W]."""
        features = self.trunk(self.labels(samples, labels))
        return CriticOutput(self.logits(features), features)


def _shapes(shape: tuple[int, int, int], levels: int) -> list[tuple[int, int, int]]:
    """Return the shapes of the levels, finest first.

    Raises:
        UserError: the coarsest level is too small.
    """
    channels, height, width = shape
    found = sizes(height, width, levels)
    if min(found[-1]) < SMALLEST:
        most = sum(min(size) >= SMALLEST for size in found)
        problem = f"the coarsest of {levels} levels of {height}x{width} px has a side of less than {SMALLEST} px"
        raise UserError(problem, "levels", f"set it to {most} or less")
    return [(channels, *size) for size in found]
