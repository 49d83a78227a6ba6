"""Stateless random numbers: generators are seeded by a hash of the run's seed and a key, such as a purpose and a turn.

    random = generator(device, seed, "latents", rank, turn)
    latents = torch.randn(64, 128, generator=random)

The draws of a turn do not depend on previous draws, so a run can be resumed exactly without saving generator states.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor

SAMPLES_PER_KEY = 64
"""Number of rows with the same key in :func:`rows`, a compromise between unused draws and speed."""


def key(seed: int, *parts: int | str) -> int:
    """Return a hash of the seed and a key, a 63-bit integer, as the seed of a generator.

    >>> key(0, "latents", 1) == key(0, "latents", 1)
    True
    >>> key(0, "latents", 1) == key(0, "latents", 2)
    False
    """
    text = "\x1f".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator(device: torch.device | str, seed: int, *parts: int | str) -> torch.Generator:
    """Return a new generator on a device, seeded by ``key(seed, *parts)``."""
    return torch.Generator(device).manual_seed(key(seed, *parts))


def reseed(device: torch.device, seed: int, *parts: int | str) -> torch.Generator:
    """Seed the device's default generator, which is used by dropout, by ``key(seed, *parts)``, and return it."""
    if device.type == "cuda":
        index = device.index if device.index is not None else torch.cuda.current_device()
        own = torch.cuda.default_generators[index]
    elif device.type == "mps":
        own = torch.mps._get_default_mps_generator()
    else:
        own = torch.default_generator
    return own.manual_seed(key(seed, *parts))


def rows(draw: Callable[[int, torch.Generator], Tensor], seed: int, purpose: str, start: int, count: int) -> Tensor:
    """Return rows ``start … start + count - 1`` of an infinite sequence whose row i depends only on (seed, purpose, i).

    Args:
        draw: ``draw(n, generator)`` returns a tensor with n rows.
        seed: seed of the sequence.
        purpose: name of the sequence.
        start: index of the first row, >= 0.
        count: number of rows, >= 0.

    Returns:
        A tensor with ``count`` rows on the CPU.
    """
    first, last = start // SAMPLES_PER_KEY, (start + max(count, 1) - 1) // SAMPLES_PER_KEY
    blocks = [draw(SAMPLES_PER_KEY, generator("cpu", seed, purpose, block)) for block in range(first, last + 1)]
    offset = start - first * SAMPLES_PER_KEY
    return torch.cat(blocks)[offset : offset + count]
