"""Schedules: factors of the learning rate over the budget, and numbers that change during training."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import NonNegativeFloat, PositiveInt

from saddlepoint.kinds import Fraction, ScheduleName


def constant(fraction: float) -> float:
    """Return 1."""
    return 1.0


def linear(fraction: float) -> float:
    """Return 1 - t, as in the CIFAR-10 experiments of WGAN-GP and SNGAN."""
    return 1.0 - fraction


def late_linear(fraction: float) -> float:
    """Return 1 in the first half of the budget, then decay linearly to 0, as in CycleGAN and pix2pix."""
    return min(1.0, 2.0 * (1.0 - fraction))


def cosine(fraction: float) -> float:
    """Return ½(1 + cos πt) (Loshchilov & Hutter 2017, equation 5, without restarts)."""
    return 0.5 * (1.0 + math.cos(math.pi * fraction))


SCHEDULES: dict[ScheduleName, Callable[[float], float]] = {
    "constant": constant,
    "linear": linear,
    "late_linear": late_linear,
    "cosine": cosine,
}


@dataclass(frozen=True)
class Ramp:
    """A number that changes from ``start`` to ``end`` over the first ``images`` training images, then stays at ``end``.

    In a config it can replace the weight of a regularizer, any number of an optimizer, the half-life of the averaged
    weights and the probability of random transformations. It is evaluated before each turn, and is a function of the
    counters that checkpoints contain, so it needs no state of its own.

    Attributes:
        start: the value before the first image.
        end: the value from ``images`` on.
        images: number of training images over all ranks; None is the whole budget of the run.
        shape: ``linear`` or ``cosine``, half a period.

    >>> Ramp(0.05, 0.005, images=1000, shape="cosine").at(images_seen=500, used=0.1)
    0.0275
    """

    start: float
    end: float
    images: PositiveInt | None = None
    shape: Literal["linear", "cosine"] = "linear"

    def at(self, images_seen: int, used: float) -> float:
        """Return the value after a number of images and a fraction of the budget."""
        remaining = SCHEDULES[self.shape](used if self.images is None else min(1.0, images_seen / self.images))
        return self.start * remaining + self.end * (1.0 - remaining)


Weight = NonNegativeFloat | Ramp
"""The weight of a regularizer."""

HalfLife = NonNegativeFloat | Ramp
"""The half-life of averaged weights, in training images."""

Probability = Fraction | Ramp
"""The probability of a random transformation."""


def has_ramp(value: Any) -> bool:
    """Return whether a value is a :class:`Ramp` or a list that contains one."""
    return isinstance(value, Ramp) or (isinstance(value, list | tuple) and any(map(has_ramp, value)))


def value_at(value: Any, images_seen: int = 0, used: float = 0.0) -> Any:
    """Return a value in which each :class:`Ramp` is replaced by its current value.

    >>> value_at([0.0, Ramp(0.9, 0.99, images=10)])
    [0.0, 0.9]
    """
    if isinstance(value, Ramp):
        return value.at(images_seen, used)
    if has_ramp(value):
        return [value_at(one, images_seen, used) for one in value]
    return value
