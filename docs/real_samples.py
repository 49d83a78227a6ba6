"""Writes docs/images/data.png: evenly spaced held-out images of MNIST and CIFAR-10, from $SADDLEPOINT_DATA."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from saddlepoint.data import CIFAR10, MNIST, DataModule
from saddlepoint.tracking.pictures import grid

ROOT = os.environ.get("SADDLEPOINT_DATA", "data")
COLUMNS = 16
SHOWN = 2 * COLUMNS

if __name__ == "__main__":
    sets = (DataModule(MNIST(ROOT), image_size=32), DataModule(CIFAR10(ROOT)))
    samples = [data.arrays("held_out").samples for data in sets]
    images = torch.cat([own[:: len(own) // SHOWN][:SHOWN].expand(-1, 3, -1, -1) for own in samples])
    grid(images, COLUMNS).save(Path(__file__).parent / "images" / "data.png", optimize=True)
