"""Li et al. 2017, "MMD GAN", arXiv:1705.08584, and Bińkowski et al. 2018, "Demystifying MMD GANs", arXiv:1801.01401."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import PositiveFloat
from torch import Tensor

from saddlepoint.losses.base import AdversarialLoss
from saddlepoint.losses.kernels import Kernel, KernelName, unbiased_mmd2
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.types import CriticOutput


class MMD(AdversarialLoss):
    """The maximum mean discrepancy of the critic's features h, under a mixture of kernels.

    - discriminator: -MMD²(h(x), h(G(z)))
    - generator: MMD²(h(x), h(G(z)))

    by the unbiased estimator over the whole batch, on all ranks. As in Bińkowski et al., there is no autoencoder in the
    critic: the gradient penalty of ``regularizer=[mmd_gradient_penalty]`` holds it, where Li et al. clip weights and
    reconstruct. The critic's logits play no part.
    """

    needs_real_in_generator = True
    batch_coupled = True
    reads = "features"
    undecided = None

    def __init__(
        self, kernel: KernelName = "rational_quadratic", scales: Sequence[PositiveFloat] | None = None
    ) -> None:
        """Choose the kernel.

        Args:
            kernel: ``gaussian`` (Li et al.), ``rational_quadratic`` (Bińkowski et al.) or ``distance`` (half the energy
                distance, as in the Cramér GAN).
            scales: of the mixture's kernels: bandwidths σ, exponents α, or exponents of the distance, up to 2. None
                takes the papers'.

        Raises:
            UserError: a scale makes no kernel.
        """
        super().__init__()
        self.kernel = Kernel(kernel, scales)

    def discriminator(self, real: CriticOutput, fake: CriticOutput) -> Tensor:
        """Return -MMD², a scalar."""
        return -self._discrepancy(real, fake)

    def generator(self, fake: CriticOutput, real: CriticOutput | None = None) -> Tensor:
        """Return MMD², a scalar; slightly negative where the distributions agree."""
        assert real is not None
        return self._discrepancy(real, fake)

    def _discrepancy(self, real: CriticOutput, fake: CriticOutput) -> Tensor:
        x, y = at_least_float32(real.features), at_least_float32(fake.features)
        return unbiased_mmd2(self.kernel, x, y)
