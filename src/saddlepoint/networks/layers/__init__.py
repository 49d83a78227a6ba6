"""Layers, initialization and shape computations for networks."""

from saddlepoint.kinds import NormKind
from saddlepoint.networks.layers.norms import make_norm
from saddlepoint.networks.layers.shapes import image_pyramid
from saddlepoint.networks.layers.spectral_norm import SpectralNorm, apply_spectral_norm
from saddlepoint.networks.layers.statistics import frozen_statistics, uses_batch_statistics

__all__ = [
    "NormKind",
    "SpectralNorm",
    "apply_spectral_norm",
    "frozen_statistics",
    "image_pyramid",
    "make_norm",
    "uses_batch_statistics",
]
