"""Learning-rate schedules: factors of the base rate as functions of the used fraction of the budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch.optim import Optimizer

from saddlepoint.kinds import ScheduleName


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


def set_learning_rates(optimizer: Optimizer, base_rates: Sequence[float], factor: float) -> None:
    """Set the learning rate of each parameter group to its base rate times ``factor``."""
    for group, base in zip(optimizer.param_groups, base_rates, strict=True):
        group["lr"] = base * factor
