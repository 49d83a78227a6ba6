from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def root(tmp_path: Path) -> str:
    """Digits with a constant gray value: i for image i of the train split, 120 + i for image i of the test split."""
    for prefix, count, first in (("train", 40, 0), ("t10k", 20, 120)):
        raw = tmp_path / "MNIST" / "raw"
        raw.mkdir(parents=True, exist_ok=True)
        images = np.broadcast_to(np.arange(first, first + count, dtype=np.uint8)[:, None, None], (count, 28, 28))
        header = bytes((0, 0, 8, 3)) + struct.pack(">3I", *images.shape)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        labels = np.arange(count, dtype=np.uint8) % 10
        header = bytes((0, 0, 8, 1)) + struct.pack(">I", count)
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())
    return str(tmp_path)
