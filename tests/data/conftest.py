from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

CAPABILITIES = 0x20080522
"""Version 3 of Linux's interface: two sets of 32 capabilities, each effective, permitted and inheritable."""
OVERRIDE = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, by which root bypasses permissions."""


@pytest.fixture
def permissions(tmp_path: Path) -> Iterator[None]:
    """Enforce file permissions in this thread and the threads that it starts, also for root."""
    sets, before = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()
    header = (ctypes.c_uint32 * 2)(CAPABILITIES, 0)
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is not None and os.geteuid() == 0 and libc.capget(header, before) == 0:
        sets[:] = before[:]
        sets[0] &= ~OVERRIDE
        libc.capset(header, sets)
    try:
        (closed := tmp_path / "closed").touch(0)
        try:
            closed.read_bytes()
        except PermissionError:
            yield
        else:
            pytest.skip("permissions do not hold this user back")
    finally:
        if any(sets) and libc is not None:
            libc.capset(header, before)


@pytest.fixture
def nested() -> Callable[[Path], Path]:
    """Return a function that makes a folder of three class folders with twenty images each."""

    def make(root: Path) -> Path:
        for index in range(60):
            folder = root / ("cat", "dog", "eel")[index // 20]
            folder.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4), (index, index, index // 2)).save(folder / f"{index % 20}.png")
        return root

    return make
