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
from saddlepoint.kinds import Fraction
from saddlepoint.parts import Objective
from saddlepoint.turns import Turn

Transformations = Literal["blit", "geometric", "color"]
OCTAVE = math.log(2)


class ADA(Augment):
    """Adaptive discriminator augmentation: random transformations whose probability p adapts to overfitting.

    The overfitting heuristic is r_t = E sign(D(x)) over real training samples (equation 1). After every ``interval``
    turns of D, p is increased if r_t is above its target and decreased if it is below, at a rate that changes p from 0
    to 1 in ``images`` images (section 3.1). The transformations are the three sets that perform best in the paper
    (section 2.3 and appendix B), in the paper's order, each drawn independently for each image:

    - ``blit``: mirroring, rotation by multiples of 90°, translation by whole pixels up to ⅛ of each side;
    - ``geometric``: isotropic scaling, rotation, anisotropic scaling, rotation again, translation;
    - ``color``: brightness, contrast, luma flip, hue, saturation.

    There are three differences from the paper. Geometric transformations are one affine map with bilinear sampling and
    reflection at the borders; the paper uses wavelet filters. p is clipped to [0, 1]; the paper has only the lower
    bound. r_t is the mean sign of D(x) minus the score at which the optimal critic is undecided, which is 0 for the
    logistic losses. With accumulation, r_t is that of the last micro-batch. p and r_t are logged in the turns of D as
    ``ada_probability`` and ``ada_sign``.
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
        """Set the parameters of section 3.1.

        Args:
            target: target value of r_t.
            interval: number of turns of D between adjustments of p.
            images: number of training images in which p can change from 0 to 1.
            start: initial value of p.
            transformations: sets of transformations to apply.
        """
        super().__init__()
        self.target, self.interval, self.images = target, interval, images
        self.transformations = tuple(transformations)
        self.register_buffer("probability", torch.tensor(float(start)))
        self.register_buffer("seen", torch.zeros(2))  # sum of signs and number of images since the last adjustment

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Check that the discriminator returns scores of images, with 1, 3 or 4 channels for ``color``.

        Raises:
            UserError: it does not.
        """
        discriminator = networks["discriminator"]
        refuse_points(discriminator, "ADA transforms images")
        if getattr(discriminator, "critic", "score") == "energy":
            raise UserError(
                "ADA adapts to the sign of the discriminator's scores, and this discriminator returns energies, which "
                "are never negative",
                None,
                "use DiffAugment",
            )
        channels = getattr(discriminator, "shape", (1, 1, 1))[0]
        if "color" in self.transformations and channels not in (1, 3, 4):
            raise UserError(
                f"ADA's color transformations need 1, 3 or 4 channels, got {channels}",
                "transformations",
                "use only blit and geometric",
            )

    def check_loss(self, loss: Objective) -> None:
        """Set ``undecided``, the score at which the optimal critic is undecided, from the loss.

        Raises:
            UserError: the loss has no such score, or does not use the critic's logits.
        """
        super().check_loss(loss)
        if loss.undecided is None:
            raise UserError(
                f"ADA adapts to the sign of the discriminator's scores, which is arbitrary for {type(loss).__name__}",
                None,
                "use DiffAugment, or another loss",
            )
        self.undecided = loss.undecided

    def forward(self, samples: Tensor, random: torch.Generator) -> Tensor:
        """Return transformed images [N, C, H, W]."""
        draw = _Draws(len(samples), self.probability, random, samples.dtype)
        with torch.autocast(samples.device.type, enabled=False):
            if {"blit", "geometric"} & set(self.transformations):
                samples = warp(samples, self._geometry(draw, *samples.shape[2:]))
            if "color" in self.transformations:
                samples = color.recolor(samples, _colors(draw))
        return samples

    def _geometry(self, draw: _Draws, height: int, width: int) -> Tensor:
        """Return maps from output to input pixels, [N, 3, 3].

        Since they are inverses of the transformations, they are multiplied in the order of the transformations.
        """
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
        """Accumulate the signs of D's scores of real samples; adjust p after every ``interval`` turns of D."""
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
        """Return the target, the rate and the transformations."""
        return f"target={self.target}, images={self.images}, transformations={self.transformations}"


class _Draws:
    """Random parameters of transformations of n images, which have a neutral value with probability 1 - p."""

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
        """Return the value, [n]."""
        return torch.full((self.n,), value, device=self.device, dtype=self.dtype)

    def integer(self, below: int) -> Tensor:
        """Return integers from 0 … below - 1, with neutral value 0, [n]."""
        return self._where((self._rand() * below).floor().clamp_max(below - 1))[0]

    def uniform(self, reach: float, count: int = 1, p: Tensor | None = None) -> Tensor:
        """Return draws from U(-reach, reach), with neutral value 0 for all of an image's draws or none, [count, n]."""
        return self._where((2 * self._rand(count) - 1) * reach, p=p)

    def normal(self, std: float, count: int = 1) -> Tensor:
        """Return draws from N(0, std²), with neutral value 0 for all of an image's draws or none, [count, n]."""
        return self._where(self._randn(count) * std)

    def octaves(self, std: float) -> Tensor:
        """Return 2^x with x from N(0, std²), with neutral value 1, [n]."""
        return self._where((self._randn() * std * OCTAVE).exp(), 1.0)[0]


def _colors(draw: _Draws) -> Tensor:
    maps = color.brightness(draw.normal(0.2)[0])
    maps = color.contrast(draw.octaves(0.5)) @ maps
    maps = color.luma_flip(draw.integer(2)) @ maps
    maps = color.hue(draw.uniform(math.pi)[0]) @ maps
    return color.saturation(draw.octaves(1.0)) @ maps


# Homogeneous maps [N, 3, 3] from output to input coordinates: inverses of the transformations of the image.


def _rows(*rows: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    one, zero = torch.ones_like(rows[0][0]), torch.zeros_like(rows[0][0])
    return torch.stack([torch.stack(row, 1) for row in (*rows, (zero, zero, one))], 1)


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """Return the map of scaling by x, [N], horizontally and y, [N], vertically."""
    zero = torch.zeros_like(x)
    return _rows((1 / x, zero, zero), (zero, 1 / y, zero))


def rotation(angle: Tensor) -> Tensor:
    """Return the map of clockwise rotation by angles [N], in radians."""
    zero, cosine, sine = torch.zeros_like(angle), angle.cos(), angle.sin()
    return _rows((cosine, sine, zero), (-sine, cosine, zero))


def quarter_turns(count: Tensor) -> Tensor:
    """Return the exact map of clockwise rotation by multiples [N] of 90°."""
    angle = count * (math.pi / 2)
    return rotation(angle).round()


def translation(right: Tensor, down: Tensor) -> Tensor:
    """Return the map of translation by pixels, [N] each."""
    one, zero = torch.ones_like(right), torch.zeros_like(right)
    return _rows((one, zero, -right), (zero, one, -down))
