"""The space that a game is played in: the samples' own, or the latent space of a frozen model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from saddlepoint.systems.capabilities import Encodes
from saddlepoint.types import Batch, ImageBatch, VectorBatch


class Encoder:
    """Maps samples to the space that a game is played in, and back. This one is the identity."""

    def encode_batch(self, batch: Batch) -> Batch:
        """Return a batch of codes for a batch of samples, with the same labels."""
        return batch

    def decode(self, codes: Tensor) -> Tensor:
        """Return samples [N, ...] of codes [N, ...]."""
        return codes


class FrozenEncoder(Encoder):
    """Another system's encoder and decoder, which stand still.

    It is deliberately no nn.Module, and holds the system where nn.Module does not look: checkpoints do not contain its
    weights, optimizers do not see them, and ranks do not reduce them.

    Args:
        system: encodes and decodes; on any device.
    """

    def __init__(self, system: Any) -> None:
        assert isinstance(system, Encodes)
        self.system: Any = system.eval().requires_grad_(False)  # type: ignore[attr-defined]

    def shape_of(self, samples: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the code of samples of a shape."""
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
        """Return the system on the device of what it is given, which nobody else moves it to."""
        return self.system if self.system.device == device else self.system.to(device)
