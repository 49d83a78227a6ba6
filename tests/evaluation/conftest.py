"""Small real systems and data sets, and a cache directory for each test."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from saddlepoint.data import DataModule, Digits, PairedFolder
from saddlepoint.losses import NonSaturating
from saddlepoint.networks import DCGANDiscriminator, DCGANGenerator, MLPDiscriminator
from saddlepoint.systems import GAN, Pix2Pix
from saddlepoint.types import CriticOutput

SGD = partial(torch.optim.SGD, lr=0.1)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def digits() -> DataModule:
    """1,472 training and 325 held-out digits of 8x8 pixels."""
    return DataModule(Digits())


@pytest.fixture
def gan() -> GAN:
    """An untrained DCGAN for 8x8 pixels with BatchNorm and averaged weights."""
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {
        "generator": DCGANGenerator((1, 8, 8), 6, 8),
        "discriminator": DCGANDiscriminator((1, 8, 8), 8),
    }
    return GAN(networks, NonSaturating(), latent_dim=6, optimizers=dict.fromkeys(networks, SGD))


class TwoPoints(nn.Module):
    """A generator of the points (1, 0) and (-1, 0), chosen by the sign of the first latent."""

    shape, latent_dim = (2,), 3

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, latents: Tensor, condition: None = None) -> Tensor:
        return torch.stack([latents[:, 0].sign() * self.scale, torch.zeros(len(latents))], 1)


@pytest.fixture
def point_gan() -> GAN:
    """A GAN without averaged weights that generates the points (1, 0) and (-1, 0)."""
    networks: dict[str, nn.Module] = {"generator": TwoPoints(), "discriminator": MLPDiscriminator((2,), (8,))}
    return GAN(networks, NonSaturating(), latent_dim=3, ema_decay=None, optimizers=dict.fromkeys(networks, SGD))


class Inverse(nn.Module):
    """A generator that inverts gray values."""

    shape, input_channels = (1, 8, 8), 1

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(-torch.ones(()))

    def forward(self, images: Tensor, condition: None = None) -> Tensor:
        return self.scale * images


class Patches(nn.Module):
    """A critic of 3x3 patches."""

    shape = (1, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 3)

    def forward(self, images: Tensor, condition: Tensor) -> CriticOutput:
        logits = self.conv(torch.cat([images, condition], 1))
        return CriticOutput(logits, logits.flatten(1))


@pytest.fixture
def pix2pix() -> Pix2Pix:
    """A Pix2Pix system whose generator inverts gray values."""
    networks: dict[str, nn.Module] = {"generator": Inverse(), "discriminator": Patches()}
    return Pix2Pix(networks, NonSaturating(), optimizers=dict.fromkeys(networks, SGD))


@pytest.fixture
def pairs(tmp_path: Path) -> Any:
    """Pairs of 8x8 pixels: 300 for training and 270 held out; targets are the inverted inputs."""
    random = np.random.default_rng(0)
    for split, count in (("train", 300), ("test", 270)):
        (tmp_path / "pairs" / split).mkdir(parents=True)
        for i in range(count):
            pixels = random.integers(0, 256, (8, 8), dtype=np.uint8)
            file = tmp_path / "pairs" / split / f"{i:03}.png"
            Image.fromarray(np.concatenate([pixels, 255 - pixels], 1)).save(file)
    return DataModule(PairedFolder(str(tmp_path / "pairs")), memory_limit_gb=1.0)
