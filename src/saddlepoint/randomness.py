"""Stateless randomness: every draw is a function of the seed, its purpose and its place, so no RNG state is ever saved.

    random = generator(device, seed, "latents", rank, turn)
    latents = torch.randn(64, 128, generator=random)

Two runs that reach the same turn draw the same numbers, whatever happened before: this is what makes resuming exact.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor

SAMPLES_PER_KEY = 64
"""Rows that share one key in :func:`rows`: few enough to waste little, many enough to draw 50,000 latents fast."""


def key(seed: int, *parts: int | str) -> int:
    """Hash a seed and what is drawn for it to a 63-bit integer that seeds a generator.

    >>> key(0, "latents", 1) == key(0, "latents", 1)
    True
    >>> key(0, "latents", 1) == key(0, "latents", 2)
    False
    """
    text = "\x1f".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator(device: torch.device | str, seed: int, *parts: int | str) -> torch.Generator:
    """Return a generator on ``device`` keyed by ``(seed, *parts)``."""
    return torch.Generator(device).manual_seed(key(seed, *parts))


def reseed(device: torch.device, seed: int, *parts: int | str) -> torch.Generator:
    """Key the device's own generator, which dropout and the like draw from, by ``(seed, *parts)``, and return it."""
    if device.type == "cuda":
        index = device.index if device.index is not None else torch.cuda.current_device()
        own = torch.cuda.default_generators[index]
    elif device.type == "mps":
        own = torch.mps._get_default_mps_generator()
    else:
        own = torch.default_generator
    return own.manual_seed(key(seed, *parts))


def rows(draw: Callable[[int, torch.Generator], Tensor], seed: int, purpose: str, start: int, count: int) -> Tensor:
    """Draw rows ``start … start + count - 1`` of an endless table whose row i depends on (seed, purpose, i) alone.

    Args:
        draw: ``draw(n, generator)`` returns a tensor of n rows.
        seed: the table's seed.
        purpose: the table's name.
        start: index of the first row, >= 0.
        count: how many rows, >= 0.

    Returns:
        A tensor of ``count`` rows on the CPU, the same whatever the batches or ranks that ask for it.
    """
    first, last = start // SAMPLES_PER_KEY, (start + max(count, 1) - 1) // SAMPLES_PER_KEY
    blocks = [draw(SAMPLES_PER_KEY, generator("cpu", seed, purpose, block)) for block in range(first, last + 1)]
    offset = start - first * SAMPLES_PER_KEY
    return torch.cat(blocks)[offset : offset + count]
