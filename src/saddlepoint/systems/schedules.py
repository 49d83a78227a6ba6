"""Learning-rate schedules: a factor on the base rate as a function of the share of the budget that is used."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

ScheduleName = Literal["constant", "linear", "late_linear", "cosine"]


def constant(fraction: float) -> float:
    """1 throughout."""
    return 1.0


def linear(fraction: float) -> float:
    """1 - t: from the base rate to zero (WGAN-GP's and SNGAN's CIFAR-10 settings)."""
    return 1.0 - fraction


def late_linear(fraction: float) -> float:
    """1 for the first half of the budget, then linearly to zero (CycleGAN's and pix2pix's settings)."""
    return min(1.0, 2.0 * (1.0 - fraction))


def cosine(fraction: float) -> float:
    """½(1 + cos πt): from the base rate to zero (Loshchilov & Hutter 2017, eq. 5, without restarts)."""
    return 0.5 * (1.0 + math.cos(math.pi * fraction))


SCHEDULES: dict[ScheduleName, Callable[[float], float]] = {
    "constant": constant,
    "linear": linear,
    "late_linear": late_linear,
    "cosine": cosine,
}
