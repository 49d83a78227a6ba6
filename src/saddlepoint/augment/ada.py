"""Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", arXiv:2006.06676."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from saddlepoint import ranks
from saddlepoint.augment import color
from saddlepoint.augment.base import Augment, images_in, refuse_points
from saddlepoint.augment.geometry import warp
from saddlepoint.errors import UserError
from saddlepoint.parts import Objective
from saddlepoint.turns import Turn
from saddlepoint.types import Fraction

Transformations = Literal["blit", "geometric", "color"]
OCTAVE = math.log(2)


class ADA(Augment):
    """Adaptive discriminator augmentation: each transformation happens with a probability p that follows overfitting.

    The heuristic is r_t = E sign(D(x)) over the real samples that D is trained on (equation 1). After every
    ``interval`` turns of D, p rises or falls by a fixed amount as r_t is above or below its target, at a speed by which
    it goes from 0 to 1 in ``images`` images (section 3.1). The transformations are the three sets that the paper found
    best (section 2.3 and appendix B), in its order, each drawn for each image:

    - ``blit``: mirroring, rotation by quarter turns, translation by whole pixels up to ⅛ of each side;
    - ``geometric``: isotropic scaling, rotation, anisotropic scaling, rotation again, translation;
    - ``color``: brightness, contrast, luma flip, hue, saturation.

    Geometry is one affine map with bilinear sampling and reflecting borders, where the paper filters with a wavelet. p
    stays within [0, 1], where the paper bounds it from below alone. r_t is the mean sign of D(x) less the loss's score
    of what cannot be told, zero for the logistic losses; under accumulation it is the last piece's. p and r_t go to
    D's logs as ``ada_probability`` and ``ada_sign``.
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
        """Take the settings of section 3.1.

        Args:
            target: of r_t.
            interval: D's turns from one adjustment of p to the next.
            images: data-set images in which p could go from 0 to 1.
            start: p at first.
            transformations: which sets.
        """
        super().__init__()
        self.target, self.interval, self.images = target, interval, images
        self.transformations = tuple(transformations)
        self.register_buffer("probability", torch.tensor(float(start)))
        self.register_buffer("seen", torch.zeros(2))  # since the last adjustment: Σ signs, images; so float32 will do

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Refuse points, energies, and two channels.

        Raises:
            UserError: the discriminator sees points, gives energies, or sees images whose colours have no meaning.
        """
        discriminator = networks["discriminator"]
        refuse_points(discriminator, "ADA transforms images")
        if getattr(discriminator, "critic", "score") == "energy":
            raise UserError(
                "ADA adapts to the sign of the discriminator's scores, and this discriminator gives energies, which "
                "are never negative",
                None,
                "use DiffAugment",
            )
        channels = getattr(discriminator, "shape", (1, 1, 1))[0]
        if "color" in self.transformations and channels not in (1, 3, 4):
            raise UserError(
                f"ADA's colour transformations need 1, 3 or 4 channels, and there are {channels}",
                "transformations",
                "use blit and geometric alone",
            )

    def check_loss(self, loss: Objective) -> None:
        """Take the score at which the critic is undecided from the loss.

        Raises:
            UserError: the loss has no such score, or does not read scores.
        """
        super().check_loss(loss)
        if loss.undecided is None:
            raise UserError(
                f"ADA adapts to the sign of the discriminator's scores, which means nothing to {type(loss).__name__}",
                None,
                "use DiffAugment, or another loss",
            )
        self.undecided = loss.undecided

    def forward(self, samples: Tensor, random: torch.Generator) -> Tensor:
        """Transform images [N, C, H, W]."""
        draw = _Draws(len(samples), self.probability, random, samples.dtype)
        with torch.autocast(samples.device.type, enabled=False):
            if {"blit", "geometric"} & set(self.transformations):
                samples = warp(samples, self._geometry(draw, *samples.shape[2:]))
            if "color" in self.transformations:
                samples = color.recolor(samples, _colors(draw))
        return samples

    def _geometry(self, draw: _Draws, height: int, width: int) -> Tensor:
        """Return maps from the output's pixels to the input's: what happens last to the image comes last here too."""
        maps = torch.eye(3, device=draw.device, dtype=draw.dtype).expand(draw.n, 3, 3)
        if "blit" in self.transformations:
            maps = maps @ scaling(1 - 2 * draw.integer(2), draw.constant(1.0))
            maps = maps @ quarter_turns(draw.integer(4))
            right, down = draw.uniform(1 / 8, 2)
            maps = maps @ translation((right * width).round(), (down * height).round())
        if "geometric" in self.transformations:
            scale = draw.octaves(0.2)
            maps = maps @ scaling(scale, scale)
            rotates = 1 - (1 - draw.p).sqrt()  # so that one of the two rotations happens with probability p
            maps = maps @ rotation(draw.uniform(math.pi, 1, rotates)[0])
            scale = draw.octaves(0.2)
            maps = maps @ scaling(scale, 1 / scale)
            maps = maps @ rotation(draw.uniform(math.pi, 1, rotates)[0])
            right, down = draw.normal(1 / 8, 2)
            maps = maps @ translation(right * width, down * height)
        return maps

    def observe(self, turn: Turn) -> None:
        """Note the signs of D's scores of real samples; after every ``interval`` turns of D, adjust p."""
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
        """Show the target, the speed and the transformations."""
        return f"target={self.target}, images={self.images}, transformations={self.transformations}"


class _Draws:
    """Draws for n images, each of which keeps its neutral value with probability 1 - p."""

    def __init__(self, n: int, p: Tensor, random: torch.Generator, dtype: torch.dtype) -> None:
        self.n, self.random, self.dtype, self.device = n, random, dtype, random.device
        self.p = p.to(dtype)

    def _rand(self, count: int = 1) -> Tensor:
        return torch.rand(count, self.n, generator=self.random, device=self.device, dtype=self.dtype)

    def _randn(self, count: int = 1) -> Tensor:
        return torch.randn(count, self.n, generator=self.random, device=self.device, dtype=self.dtype)

    def _where(self, values: Tensor, neutral: float = 0.0, p: Tensor | None = None) -> Tensor:
        return torch.where(self._rand() < (self.p if p is None else p), values, neutral)

    def constant(self, value: float) -> Tensor:
        """The value itself, [n]."""
        return torch.full((self.n,), value, device=self.device, dtype=self.dtype)

    def integer(self, below: int) -> Tensor:
        """0 … below - 1, neutral 0; [n]."""
        return self._where((self._rand() * below).floor().clamp_max(below - 1))[0]

    def uniform(self, reach: float, count: int = 1, p: Tensor | None = None) -> Tensor:
        """U(-reach, reach), neutral 0, all of an image's at once; [count, n]."""
        return self._where((2 * self._rand(count) - 1) * reach, p=p)

    def normal(self, std: float, count: int = 1) -> Tensor:
        """N(0, std²), neutral 0, all of an image's at once; [count, n]."""
        return self._where(self._randn(count) * std)

    def octaves(self, std: float) -> Tensor:
        """2^N(0, std²), neutral 1; [n]."""
        return self._where((self._randn() * std * OCTAVE).exp(), 1.0)[0]


def _colors(draw: _Draws) -> Tensor:
    maps = color.brightness(draw.normal(0.2)[0])
    maps = color.contrast(draw.octaves(0.5)) @ maps
    maps = color.luma_flip(draw.integer(2)) @ maps
    maps = color.hue(draw.uniform(math.pi)[0]) @ maps
    return color.saturation(draw.octaves(1.0)) @ maps


# Maps from the output's coordinates to the input's: each is the inverse of what happens to the image.


def _rows(*rows: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    one, zero = torch.ones_like(rows[0][0]), torch.zeros_like(rows[0][0])
    return torch.stack([torch.stack(row, 1) for row in (*rows, (zero, zero, one))], 1)


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """Scale the image by x [N] across and y [N] down."""
    zero = torch.zeros_like(x)
    return _rows((1 / x, zero, zero), (zero, 1 / y, zero))


def rotation(angle: Tensor) -> Tensor:
    """Rotate the image by angles [N], in radians, from right to down."""
    zero, cosine, sine = torch.zeros_like(angle), angle.cos(), angle.sin()
    return _rows((cosine, sine, zero), (-sine, cosine, zero))


def quarter_turns(count: Tensor) -> Tensor:
    """Rotate the image by quarter turns [N], exactly."""
    angle = count * (math.pi / 2)
    return rotation(angle).round()


def translation(right: Tensor, down: Tensor) -> Tensor:
    """Shift the image by pixels [N]."""
    one, zero = torch.ones_like(right), torch.zeros_like(right)
    return _rows((one, zero, -right), (zero, one, -down))
