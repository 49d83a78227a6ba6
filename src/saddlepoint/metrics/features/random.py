"""Features of an untrained convolutional network (Naeem et al. 2020, arXiv:2002.09797, section 4).

They need neither labels nor a download, and suit images far from ImageNet better than its classifiers do. The weights
are drawn from NumPy's Philox generator, whose raw output is guaranteed not to change between releases, with arithmetic
that rounds the same on all machines; their sha256 is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.errors import UserError
from saddlepoint.metrics.cache import digest
from saddlepoint.metrics.features.base import FeatureExtractor, Features
from saddlepoint.metrics.rows import RealData

SIDE = 64
MAX_CHANNELS = 4
WIDTHS = (16, 32, 40)
KEY = 20_200_220
"""Philox's key; an arbitrary date."""
SHA256 = "3230e4d230a83ac17dc4ef43a9283ac365e2460d12ba765818609f866d462eb5"


def philox_weights() -> dict[str, Tensor]:
    """Return He-scaled weights, uniform in ±√(6 / fan-in) (He et al. 2015), for three 3×3 convolutions."""
    bits = np.random.Philox(key=KEY)
    weights, channels = {}, MAX_CHANNELS
    for index, width in enumerate(WIDTHS):
        fan_in = channels * 9
        uniform = (bits.random_raw(width * fan_in) >> np.uint64(11)).astype(np.float64) * 2.0**-53
        values = ((2 * uniform - 1) * np.sqrt(6 / fan_in)).astype(np.float32)
        weights[f"{index}"] = torch.from_numpy(values).reshape(width, channels, 3, 3)
        channels = width
    return weights


class RandomNetwork(nn.Module):
    """Three strided convolutions whose statistics at 32, 16 and 8 pixels are the features.

    The first two layers contribute each channel's mean and standard deviation, the last one its mean in each quarter of
    the image: 2·16 + 2·32 + 4·40 = 256.

    Images of C channels use the first C of the first layer's four input planes, scaled by √(4/C), so that activations
    are of the same size for 1 to 4 channels.
    """

    def __init__(self) -> None:
        super().__init__()
        weights = philox_weights()
        if digest(weights) != SHA256:
            raise RuntimeError(
                "features=random: the sha256 of the weights differs on this machine, so scores would not be comparable"
            )
        self.weights = nn.ParameterList([weights[f"{index}"] for index in range(len(WIDTHS))])

    def forward(self, images: Tensor) -> Tensor:
        """Return features [N, 256] of uint8 images [N, C, H, W]."""
        channels = images.shape[1]
        x = images.float() / 127.5 - 1
        x = functional.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
        kernels = [self.weights[0][:, :channels] * (MAX_CHANNELS / channels) ** 0.5, *self.weights[1:]]
        features = []
        for kernel in kernels:
            x = functional.relu(functional.conv2d(x, kernel, stride=2, padding=1))
            features.append(x)
        statistics = [torch.cat([f.mean((2, 3)), f.std((2, 3), correction=0)], 1) for f in features[:-1]]
        return torch.cat([*statistics, functional.adaptive_avg_pool2d(x, 2).flatten(1)], 1)


class RandomFeatures(FeatureExtractor):
    """256 features of an untrained network; no logits, so no Inception Score."""

    name = "random"
    has_logits = False
    resize = "bilinear-antialias-64"
    dim = 2 * WIDTHS[0] + 2 * WIDTHS[1] + 4 * WIDTHS[2]
    activation = 4 * MAX_CHANNELS * SIDE**2

    def __init__(self) -> None:
        super().__init__()
        self._adopt(RandomNetwork())

    @property
    def version(self) -> str:
        """The recipe's version and a digest of the weights."""
        return f"1-{SHA256[:8]}"

    def prepare(self, real: RealData, cache_dir: Path) -> None:
        """Check that the data are images of 1 to 4 channels.

        Raises:
            UserError: otherwise.
        """
        info = real.info
        if not info.is_image or info.shape[0] > MAX_CHANNELS:
            raise UserError(
                f"the random network needs images of 1 to {MAX_CHANNELS} channels, but {info.name} has shape "
                f"{list(info.shape)}",
                None,
                "choose the features none",
            )

    def extract(self, images: Tensor) -> Features:
        """Return the pooled features."""
        return Features(self._ready()(images))

    def state(self) -> dict[str, Any]:
        """Return name and version; the weights are computed by the code."""
        return {"name": self.name, "version": self.version}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], cache_dir: Path) -> Self:
        """Return the extractor, if the version is the same."""
        extractor = cls()
        if state["version"] != extractor.version:
            raise UserError(
                f"the checkpoint's random network has version {state['version']}, but this is {extractor.version}",
                None,
                "evaluate against the data set with the features random",
            )
        return extractor
