"""Dropout as a source of noise."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import dropout


class NoiseDropout(nn.Module):
    """Dropout that is active in evaluation mode too.

    It is the noise z of a generator that takes no latents (Isola et al. 2017, arXiv:1611.07004, section 2.1).

    Masks are drawn from torch's default generator of the input's device. Seed it for samples that can be repeated.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with a share p of its values zero and the others divided by 1 - p."""
        return dropout(x, self.p, training=True)

    def extra_repr(self) -> str:
        """Show p."""
        return f"p={self.p}"
