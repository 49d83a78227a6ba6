"""The cache of decoded images, which is written by one process at a time."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from saddlepoint.data.decoding import cached_decode
from saddlepoint.data.fit import Fit
from saddlepoint.data.sources.base import FileColumn
from saddlepoint.data.store import Folder


class SlowFolder(Folder):
    """A folder that counts how often each file is read, and takes time to read it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reads: Counter[str] = Counter()

    def read(self, name: str) -> bytes:
        self.reads[name] += 1
        time.sleep(0.02)
        return super().read(name)


def test_only_one_of_several_ranks_decodes(tmp_path: Path) -> None:
    """Threads have separate locks like processes, since each opens the file of the lock itself."""
    (tmp_path / "images").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3), dtype=np.uint8)
    names = [f"{index}.png" for index in range(len(pixels))]
    for name, image in zip(names, pixels, strict=True):
        Image.fromarray(image).save(tmp_path / "images" / name)
    store, cache = SlowFolder(tmp_path / "images"), tmp_path / "cache" / "decoded.npy"
    column, fit = FileColumn(store, names), Fit(4, 4, 3, "pad")
    with ThreadPoolExecutor(4) as ranks:
        found = list(ranks.map(lambda _: cached_decode(column, fit, cache), range(4)))
    assert all(np.array_equal(values, pixels) for values in found)
    assert store.reads == Counter(names)
    assert sorted(path.name for path in cache.parent.iterdir()) == ["decoded.lock", "decoded.npy"]
