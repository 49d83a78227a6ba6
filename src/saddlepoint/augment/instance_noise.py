"""Sønderby et al. 2017, arXiv:1610.04490, and Arjovsky & Bottou 2017, arXiv:1701.04862: noise on what D sees."""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from saddlepoint.augment.base import Augment, images_in
from saddlepoint.turns import Turn


class InstanceNoise(Augment):
    """x + σε, ε ~ N(0, I), for real and generated samples alike, with a σ that falls linearly to zero.

    It makes the two laws overlap while the generator's is far from the data (Sønderby et al., section 3.2; Arjovsky &
    Bottou, section 3), and fades away as it comes near. σ falls with the data-set images that D has been trained on. It
    goes to the discriminator's logs as ``instance_noise``. Suits points, too.
    """

    images: Tensor

    def __init__(self, std: NonNegativeFloat = 0.1, decay_images: PositiveInt = 100_000) -> None:
        """Take the noise's settings.

        Args:
            std: σ at the start, in the samples' unit.
            decay_images: data-set images after which it is zero.
        """
        super().__init__()
        self.initial_std, self.decay_images = std, decay_images
        self.register_buffer("images", torch.zeros((), dtype=torch.long))  # not every GPU has float64

    def std(self) -> Tensor:
        """Return today's σ, a float32 scalar."""
        return self.initial_std * (1 - self.images / self.decay_images).clamp_min(0)

    def forward(self, samples: Tensor, random: torch.Generator) -> Tensor:
        """Add noise to samples of any shape [N, ...]."""
        noise = torch.randn(samples.shape, generator=random, device=samples.device, dtype=samples.dtype)
        return samples + self.std().to(samples.dtype) * noise

    def observe(self, turn: Turn) -> None:
        """Count the images of the discriminator's turn."""
        if "discriminator" in turn.players and turn.real is not None:
            self.images += images_in(turn).round().long()
            turn.logs["instance_noise"] = self.std()

    def extra_repr(self) -> str:
        """Show the noise at the start, and its end."""
        return f"std={self.initial_std}, decay_images={self.decay_images}"
