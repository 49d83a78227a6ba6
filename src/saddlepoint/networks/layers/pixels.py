"""What the autoregressive networks of pixels have in common: table 1 of van den Oord et al. 2016, arXiv:1601.06759."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import relu

from saddlepoint.errors import UserError
from saddlepoint.networks.layers.masked import MaskedConv2d, Scan
from saddlepoint.networks.layers.precision import at_least_float32, full_precision

PixelLikelihood = Literal["bernoulli", "categorical"]
"""Distributions of a channel of a pixel: black or white, or one of 256 intensities."""

LEVELS = 256
"""Number of intensities of 8-bit images."""


class PixelLayers(nn.Module):
    """The layers of a subclass, followed by two masked 1×1 convolutions, each after a ReLU, to the logits.

    Attributes:
        shape: (C, H, W).
        likelihood: ``bernoulli`` or ``categorical``.
        outputs: K, the number of logits of a channel of a pixel: 1 or 256.
    """

    def __init__(
        self, shape: Sequence[PositiveInt], features: int, output_features: int, likelihood: PixelLikelihood
    ) -> None:
        """Build the last layers.

        Args:
            shape: (C, H, W) of any size.
            features: number of features of the subclass's last layer.
            output_features: number of features between the two last convolutions.
            likelihood: ``bernoulli`` or ``categorical``.

        Raises:
            UserError: the shape is not that of images.
        """
        super().__init__()
        if len(shape) != 3:
            raise UserError(f"needs images, got samples of shape {tuple(shape)}", "shape", "choose image data")
        channels = shape[0]
        self.shape, self.likelihood = tuple(shape), likelihood
        self.outputs = 1 if likelihood == "bernoulli" else LEVELS
        self.head = MaskedConv2d(features, output_features, channels=channels)
        self.logits = MaskedConv2d(output_features, channels * self.outputs, channels=channels)

    def layers_of(self, images: Tensor, scan: Scan | None) -> Tensor:
        """Return the features [N, F, H, W] of images [N, C, H, W]; with a scan, [N, F, 1, 1] at its pixel."""
        raise NotImplementedError(f"{type(self).__name__} must implement layers_of()")

    def forward(self, images: Tensor, scan: Scan | None = None) -> Tensor:
        """Return the logits of each channel of each pixel given the channels and pixels before.

        Args:
            images: float [N, C, H, W] in [-1, 1]. With a scan, what follows the pixel is ignored.
            scan: the position of the pixel whose logits are returned; None for those of all pixels.

        Returns:
            [N, K, C, H, W], or with a scan [N, K, C, 1, 1]; in float32 even under autocast.
        """
        features = relu(self.head(relu(self.layers_of(images, scan)), scan))
        with full_precision(images.device):
            logits = self.logits(at_least_float32(features), scan)
        return logits.unflatten(1, (self.shape[0], self.outputs)).transpose(1, 2)


def nats_of(logits: Tensor, images: Tensor) -> Tensor:
    """Return log p of each channel of each pixel, [N, C, H, W], in nats.

    Args:
        logits: [N, K, C, H, W].
        images: float [N, C, H, W] in [-1, 1]; rounded to the nearest of 2 (K = 1) or 256 intensities.
    """
    if logits.shape[1] == 1:
        white = images > 0
        return nn.functional.logsigmoid(torch.where(white, logits[:, 0], -logits[:, 0]))
    return -nn.functional.cross_entropy(logits, intensities(images), reduction="none")


def intensities(images: Tensor) -> Tensor:
    """Return the intensities 0 … 255, long, of images in [-1, 1]."""
    return ((images + 1) * ((LEVELS - 1) / 2)).round().long().clamp(0, LEVELS - 1)


def drawn(logits: Tensor, uniform: Tensor) -> Tensor:
    """Return values in [-1, 1] drawn by inverting the cumulative distribution function.

    Args:
        logits: [N, K, ...].
        uniform: draws from U[0, 1), [N, ...].
    """
    if logits.shape[1] == 1:
        return torch.where(uniform < logits[:, 0].sigmoid(), 1.0, -1.0)
    below = logits.softmax(1).cumsum(1) <= uniform.unsqueeze(1)
    return below.sum(1).clamp(max=LEVELS - 1) * (2 / (LEVELS - 1)) - 1
