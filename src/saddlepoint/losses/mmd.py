"""MMD GAN.

Li et al. 2017, "MMD GAN: Towards Deeper Understanding of Moment Matching Network", arXiv:1705.08584;
Bińkowski et al. 2018, "Demystifying MMD GANs", arXiv:1801.01401.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import PositiveFloat
from torch import Tensor

from saddlepoint.losses.base import AdversarialLoss
from saddlepoint.losses.kernels import Kernel, KernelName, unbiased_mmd2
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.types import CriticOutput


class MMD(AdversarialLoss):
    """The squared maximum mean discrepancy of the critic's features h, with a sum of kernels.

    - discriminator: -MMD²(h(x), h(G(z)))
    - generator: MMD²(h(x), h(G(z)))

    MMD² is estimated without bias over the samples of all ranks. The critic's logits are not used. The critic is to be
    regularized by :class:`saddlepoint.regularizers.MMDGradientPenalty`, as in Bińkowski et al.; Li et al. use weight
    clipping and an autoencoder instead.
    """

    needs_real_in_generator = True
    batch_coupled = True
    reads = "features"
    undecided = None

    def __init__(
        self, kernel: KernelName = "rational_quadratic", scales: Sequence[PositiveFloat] | None = None
    ) -> None:
        """Set the kernel.

        Args:
            kernel: ``gaussian`` (Li et al.), ``rational_quadratic`` (Bińkowski et al.) or ``distance`` (half the energy
                distance, as in the Cramér GAN).
            scales: bandwidths σ, exponents α, or exponents of the distance (at most 2) of the kernels; by default those
                of the papers.

        Raises:
            UserError: there is no scale, or a scale is out of range.
        """
        super().__init__()
        self.kernel = Kernel(kernel, scales)

    def discriminator(self, real: CriticOutput, fake: CriticOutput) -> Tensor:
        """Return -MMD², a scalar."""
        return -self._discrepancy(real, fake)

    def generator(self, fake: CriticOutput, real: CriticOutput | None = None) -> Tensor:
        """Return MMD², a scalar, which can be negative."""
        assert real is not None
        return self._discrepancy(real, fake)

    def _discrepancy(self, real: CriticOutput, fake: CriticOutput) -> Tensor:
        x, y = at_least_float32(real.features), at_least_float32(fake.features)
        return unbiased_mmd2(self.kernel, x, y)
