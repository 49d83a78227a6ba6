"""Penalties and constraints on a network, one a file."""

from saddlepoint.regularizers.base import Regularizer
from saddlepoint.regularizers.gradient_penalty import GradientPenalty
from saddlepoint.regularizers.weight_clipping import WeightClipping

__all__ = ["GradientPenalty", "Regularizer", "WeightClipping"]
