"""Dropout as a source of noise."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import dropout


class NoiseDropout(nn.Module):
    """Dropout that is also active in evaluation mode.

    It provides the noise z of a generator without latents (Isola et al. 2017, arXiv:1611.07004, section 2.1). Masks are
    drawn from torch's default generator of the input's device, which must be seeded for reproducible outputs.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with each value set to zero with probability p, and the others divided by 1 - p."""
        return dropout(x, self.p, training=True)

    def extra_repr(self) -> str:
        """Show p."""
        return f"p={self.p}"
