"""Instance noise.

Sønderby et al. 2017, "Amortised MAP Inference for Image Super-resolution", arXiv:1610.04490; Arjovsky & Bottou 2017,
"Towards Principled Methods for Training Generative Adversarial Networks", arXiv:1701.04862.
"""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from saddlepoint.augment.base import Augment, images_in
from saddlepoint.turns import Turn


class InstanceNoise(Augment):
    """Adds noise σε, ε ~ N(0, I), to real and generated samples, where σ decays linearly to zero.

    It makes the distributions of real and generated samples overlap early in training (Sønderby et al., section 3.2;
    Arjovsky & Bottou, section 3). σ is a function of the number of training images seen by D, and is logged in its
    turns as ``instance_noise``. Images and points are supported.
    """

    images: Tensor

    def __init__(self, std: NonNegativeFloat = 0.1, decay_images: PositiveInt = 100_000) -> None:
        """Set the schedule of the noise.

        Args:
            std: initial σ.
            decay_images: number of training images after which σ is zero.
        """
        super().__init__()
        self.initial_std, self.decay_images = std, decay_images
        self.register_buffer("images", torch.zeros((), dtype=torch.long))  # not float64, which MPS lacks

    def std(self) -> Tensor:
        """Return the current σ, a float32 scalar."""
        return self.initial_std * (1 - self.images / self.decay_images).clamp_min(0)

    def forward(self, samples: Tensor, random: torch.Generator) -> Tensor:
        """Return samples [N, ...] with added noise."""
        noise = torch.randn(samples.shape, generator=random, device=samples.device, dtype=samples.dtype)
        return samples + self.std().to(samples.dtype) * noise

    def observe(self, turn: Turn) -> None:
        """Count the training images of a discriminator turn."""
        if "discriminator" in turn.players and turn.real is not None:
            self.images += images_in(turn).round().long()
            turn.logs["instance_noise"] = self.std()

    def extra_repr(self) -> str:
        """Return the initial σ and the length of the decay."""
        return f"std={self.initial_std}, decay_images={self.decay_images}"
