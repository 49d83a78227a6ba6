"""Reconstruction errors of autoencoders, which are their energies."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from saddlepoint.networks.layers.precision import at_least_float32

Distance = Literal["l1", "l2"]
"""Distances between a sample and its reconstruction."""

MNIST = 28 * 28
"""Number of values of an MNIST image, for which the EBGAN paper searches its margin."""


def reconstruction_error(samples: Tensor, reconstructions: Tensor, distance: Distance) -> Tensor:
    """Return each sample's energy, [N], >= 0 and in float32 or wider.

    Args:
        samples: [N, ...].
        reconstructions: [N, ...].
        distance: ``l1`` is the mean of |x - x'| over values (Berthelot et al. 2017, arXiv:1703.10717, equation 1).
            ``l2`` is the Euclidean norm of x - x' (Zhao et al. 2017, arXiv:1609.03126, equation 3) times
            √(784/values), so that a margin and a pulling-away weight tuned on MNIST (28×28) apply to any image size.

    >>> reconstruction_error(torch.ones(1, 1, 14, 14), torch.zeros(1, 1, 14, 14), "l2")
    tensor([28.])
    """
    error = (at_least_float32(samples) - at_least_float32(reconstructions)).flatten(1)
    if distance == "l1":
        return error.abs().mean(1)
    return torch.linalg.vector_norm(error, dim=1) * math.sqrt(MNIST / error.shape[1])
