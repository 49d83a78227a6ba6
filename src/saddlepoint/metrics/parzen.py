"""Parzen-window log-likelihoods, which early papers report for models whose likelihoods cannot be computed.

Breuleux et al. 2011, "Quickly generating representative samples from an RBM-derived process",
doi:10.1162/NECO_a_00158; used by Goodfellow et al. 2014, arXiv:1406.2661, section 5. They say little about the model in
many dimensions: Theis et al. 2016, "A note on the evaluation of generative models", arXiv:1511.01844, section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from saddlepoint.metrics.base import Figure, Metric, Sample
from saddlepoint.metrics.features.base import FeatureExtractor

VERSION = "1"
"""Version of the computation, on score cards."""
BANDWIDTHS = tuple(10 ** (step / 9 - 1) for step in range(10))
"""Candidates of σ, for pixels in [0, 1]: ten values from 0.1 to 1, equally spaced in the logarithm."""
CHUNK = 256
"""Real images per block of distances, to limit memory."""


class ParzenLogLikelihood(Metric):
    """The mean log density of held-out images under Gaussian kernels of width σ around samples, in nats.

    For pixels in [0, 1] at up to 32 px, D values an image, and samples s_1 … s_n:

        log p(x) = log Σ_i exp(-‖x - s_i‖² / (2σ²)) - log n - D/2 log(2πσ²)

    σ is the best of ten values on every tenth held-out image; the score is the mean over the others. It is no
    likelihood of the model, and depends on n. Not a default metric. The figure of real images is that of as many
    training images in place of samples.
    """

    name = "parzen_log_likelihood"
    needs = frozenset({"pixels"})

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Return the pixels of held-out images, and of training images for comparison."""
        assert real.pixels is not None
        held_out = real.pixels if real.held_out is None else real.held_out.pixels
        assert held_out is not None
        return {"held_out": held_out, "train": real.pixels}

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return the score, with σ and the standard error of the mean beside it."""
        assert sample.pixels is not None
        return [self._figure(sample.pixels, reference["held_out"])]

    def real_figures(
        self, held_out: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor
    ) -> list[Figure]:
        """Return the score of training images in place of samples."""
        return [self._figure(reference["train"], reference["held_out"])]

    def least_samples(self, dim: int) -> int:
        """Return 10, the number of held-out images from which one is used to choose σ."""
        return 10

    def _figure(self, samples: Tensor, held_out: Tensor) -> Figure:
        chosen = torch.arange(len(held_out)) % 10 == 0
        on_validation = log_densities(held_out[chosen], samples, BANDWIDTHS).mean(1)
        sigma = BANDWIDTHS[int(on_validation.argmax())]
        found = log_densities(held_out[~chosen], samples, [sigma])[0]
        error = float(found.std() / math.sqrt(len(found))) if len(found) > 1 else 0.0
        return Figure(
            self.name,
            float(found.mean()),
            len(samples),
            features=("pixels", VERSION, "none"),
            beside={"sigma": sigma, "standard_error": error},
        )


def log_densities(images: Tensor, samples: Tensor, bandwidths: tuple[float, ...] | list[float]) -> Tensor:
    """Return log p(x) of images for each bandwidth, float64 [B, N].

    Args:
        images: uint8 [N, D].
        samples: uint8 [M, D].
        bandwidths: values of σ.
    """
    centers = samples.double() / 255
    norms = centers.square().sum(1)
    parts = []
    for some in images.split(CHUNK):
        x = some.double() / 255
        distances = (x.square().sum(1, keepdim=True) - 2 * x @ centers.t() + norms).clamp_min(0)
        parts.append(torch.stack([torch.logsumexp(-distances / (2 * s * s), 1) for s in bandwidths]))
    scales = torch.tensor([math.log(2 * math.pi * s * s) for s in bandwidths], dtype=torch.float64)
    return torch.cat(parts, 1) - math.log(len(samples)) - images.shape[1] / 2 * scales[:, None]
