"""Encoders: maps from samples to the space in which a system is trained, such as a frozen model's latent space."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from saddlepoint.systems.capabilities import Encodes
from saddlepoint.types import Batch, ImageBatch, VectorBatch


class Encoder:
    """Maps samples to the space in which a system is trained, and back. The base class is the identity."""

    def encode_batch(self, batch: Batch) -> Batch:
        """Return a batch of codes for a batch of samples, with the same labels."""
        return batch

    def decode(self, codes: Tensor) -> Tensor:
        """Return samples [N, ...] of codes [N, ...]."""
        return codes


class FrozenEncoder(Encoder):
    """The frozen encoder and decoder of another system.

    It is not an ``nn.Module``, so the system's weights are neither saved in checkpoints, nor optimized, nor averaged
    over ranks.

    Args:
        system: a system that can encode and decode, on any device.
    """

    def __init__(self, system: Any) -> None:
        assert isinstance(system, Encodes)
        self.system: Any = system.eval().requires_grad_(False)  # type: ignore[attr-defined]

    def shape_of(self, samples: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a code of a sample of shape ``samples``."""
        return tuple(self.system.encode(torch.zeros(1, *samples, device=self.system.device)).shape[1:])

    @torch.no_grad()
    def encode_batch(self, batch: Batch) -> Batch:
        """Return a batch of codes for a batch of samples, with the same labels."""
        codes: Tensor = self._on(batch.samples.device).encode(batch.samples)
        return VectorBatch(codes, batch.labels) if codes.dim() == 2 else ImageBatch(codes, batch.labels)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Return samples [N, ...] of codes [N, ...]."""
        samples: Tensor = self._on(codes.device).decode(codes)
        return samples

    def _on(self, device: torch.device) -> Any:
        """Return the system, moved to ``device`` if necessary."""
        return self.system if self.system.device == device else self.system.to(device)
