"""The frequency spectrum of samples, in which upsampling layers leave traces.

Durall et al. 2020, "Watch Your Up-Convolution: CNN Based Generative Deep Neural Networks Are Failing to Reproduce
Spectral Distributions", arXiv:2003.01826.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from saddlepoint.metrics.base import Figure, Metric, Sample
from saddlepoint.metrics.features.base import FeatureExtractor

VERSION = "1"
"""Version of the computation, on score cards."""
HIGH = 0.75
"""Frequencies above this fraction of the highest are called high."""


class Spectrum(Metric):
    """The mean absolute difference between the logarithms of the mean spectra of samples and of real images.

    The spectra are those of :func:`~saddlepoint.metrics.power_spectra.power_spectra`. The mean is over all frequencies
    but 0, which is the brightness. 0.1 is a difference of about 10 % in power. Not a default metric.
    """

    name = "spectrum"
    needs = frozenset({"spectrum"})

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Return the mean spectrum of the kept real images."""
        assert real.spectrum is not None
        return {"mean": real.spectrum.double().mean(0)}

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return the score; the mean spectra are the details "spectrum" and "real_spectrum".

        ``high_frequencies`` beside it is the mean difference at high frequencies, above 0 if samples have too much
        power.
        """
        assert sample.spectrum is not None
        mean = sample.spectrum.double().mean(0)
        difference = (mean.log() - reference["mean"].log())[1:]
        high = difference[int(HIGH * len(difference)) :]
        return [
            Figure(
                self.name,
                float(difference.abs().mean()),
                len(sample.spectrum),
                features=("pixels", VERSION, "none"),
                details={"spectrum": mean, "real_spectrum": reference["mean"]},
                beside={"high_frequencies": float(high.mean())},
            )
        ]
