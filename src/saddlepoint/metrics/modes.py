"""Mode coverage of points on a mixture of Gaussians, and of images by predicted class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import xlogy
from scipy.stats import binom, chi2
from torch import Tensor

from saddlepoint.metrics.base import Figure, Metric, Sample
from saddlepoint.metrics.features.base import FeatureExtractor


class ModeCoverage(NamedTuple):
    """The figures of points on a mixture of Gaussians.

    Attributes:
        modes: number of modes with at least one high-quality sample.
        high_quality: fraction of samples within three standard deviations of the nearest mean, in [0, 1].
        reverse_kl: KL(samples' distribution over the modes ‖ uniform) in nats, in [0, log M].
        mixture_kl: KL in nats between the samples' and the mixture's own distribution over the events "within 3σ of
            mode 1", …, "within 3σ of mode M", "outside". It is large both for collapse onto one mode and for uniform
            blur, unlike the other two, so it selects the best checkpoint.
        counts: long [M], number of samples nearest to each mean.
    """

    modes: int
    high_quality: float
    reverse_kl: float
    mixture_kl: float
    counts: Tensor


def mode_coverage(points: Tensor, means: Tensor, std: float) -> ModeCoverage:
    """Score points against a uniform mixture of isotropic Gaussians as in PacGAN (Lin et al. 2018, arXiv:1712.04086).

    Every sample is assigned to its nearest mean. It is of high quality if it is within 3σ of it, and a mode is covered
    if it has a high-quality sample. The divergence from uniform includes all samples, of high quality or not.

    Args:
        points: float [N, D].
        means: float [M, D].
        std: σ > 0 of every mode.

    Raises:
        FloatingPointError: ``points`` contain NaN or infinite values.
    """
    counts, good = count_modes(points, means, std)
    return coverage_of_counts(counts, good, means.shape[1])


def count_modes(points: Tensor, means: Tensor, std: float) -> tuple[Tensor, Tensor]:
    """Return the numbers of points nearest to each mean, and of those of them that are within 3σ of it, long [M] each.

    Args:
        points: float [N, D].
        means: float [M, D].
        std: σ > 0 of every mode.

    Raises:
        FloatingPointError: ``points`` contain NaN or infinite values.
    """
    if not torch.isfinite(points).all():
        raise FloatingPointError("points contain NaN or infinite values: the generator has diverged")
    means = means.double().cpu()
    # From differences, not from the expanded square, which would be inaccurate for distant points.
    parts = [torch.cdist(part, means, compute_mode="donot_use_mm_for_euclid_dist").min(1)
             for part in points.double().cpu().split(4096)]  # fmt: skip
    distance, mode = torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])
    good = distance <= 3 * std
    return torch.bincount(mode, minlength=len(means)), torch.bincount(mode[good], minlength=len(means))


def coverage_of_counts(counts: Tensor, good: Tensor, dim: int) -> ModeCoverage:
    """Return the figures of points in ``dim`` dimensions from the results of :func:`count_modes`."""
    uniform = torch.ones(len(counts), dtype=torch.float64)
    inside = ceiling(dim)
    within_and_outside = torch.cat([good, (counts.sum() - good.sum())[None]])
    expected = torch.cat([uniform * inside / len(counts), torch.tensor([1 - inside], dtype=torch.float64)])
    return ModeCoverage(
        modes=int((good > 0).sum()),
        high_quality=int(good.sum()) / int(counts.sum()),
        reverse_kl=histogram_divergence(counts, uniform),
        mixture_kl=histogram_divergence(within_and_outside, expected),
        counts=counts,
    )


def ceiling(dim: int) -> float:
    """Return the mass of an isotropic Gaussian within 3σ of its mean, from the chi-squared distribution.

    >>> round(ceiling(2), 4)
    0.9889
    """
    return float(chi2.cdf(9, dim))


def histogram_divergence(counts: Tensor, reference: Tensor) -> float:
    """Return KL(p ‖ q) in nats of two histograms [K] of counts or weights; infinite where p > 0 = q.

    >>> round(histogram_divergence(torch.tensor([1, 1, 0, 0]), torch.tensor([1, 1, 1, 1])), 6)
    0.693147
    """
    p, q = counts.double() / counts.sum(), reference.double() / reference.sum()
    return max(float(torch.where(p > 0, p * (p / q).log(), 0.0).sum()), 0.0)


def expected_divergence(reference: Tensor, n: int) -> float:
    """Return the expected :func:`histogram_divergence` between n samples from ``reference`` [K] and ``reference``.

    A perfect sampler has this expected value, so divergences are compared with it. It is exact, from the binomial
    distribution of each class's count; about (K - 1) / 2n for large n.

    >>> round(expected_divergence(torch.ones(1000), 25_600), 4)
    0.0196
    """
    total = 0.0
    values, times = (reference.double() / reference.sum()).unique(return_counts=True)
    for q, count in zip(values.tolist(), times.tolist(), strict=True):
        spread = 12 * math.sqrt(n * q) + 30
        x = np.arange(max(0, int(n * q - spread)), min(n, int(n * q + spread)) + 1)
        total += count * float((binom.pmf(x, n, q) * xlogy(x / n, x / (n * q))).sum()) if q > 0 else 0.0
    return total


class ClassHistogram(Metric):
    """KL(predicted classes of the samples ‖ real labels) in nats, by the data set's own classifier.

    On the card beside it: the "floor", a perfect sampler's expected value for as many samples; the number of "classes"
    predicted at least once; and the mean "confidence", because noise is assigned to some class too. Each count of the
    real histogram is increased by one, so that classes without training images do not make the divergence infinite.
    """

    name = "class_kl"
    needs = frozenset({"logits", "label_counts"})

    def applies_to(self, extractor: FeatureExtractor) -> bool:
        """Return whether the extractor predicts the data set's labels."""
        return extractor.predicts_labels

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Return the label counts of the whole split."""
        assert real.label_counts is not None
        return {"labels": real.label_counts}

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return the divergence, with "histogram" [K] and the "real" one [K] as details."""
        assert sample.logits is not None
        labels, n = reference["labels"] + 1, len(sample.logits)
        counts = torch.bincount(sample.logits.argmax(1), minlength=len(labels))
        beside = {
            "floor": expected_divergence(labels, n),
            "classes": float((counts > 0).sum()),
            "confidence": mean_confidence(sample.logits),
        }
        details = {"histogram": counts, "real": reference["labels"]}
        value = histogram_divergence(counts, labels)
        return [Figure(extractor.score_name(self.name), value, n, details=details, beside=beside)]


class ClassModes(Metric):
    """Coverage of modes that are the classifier's classes, equally likely by construction: Stacked MNIST's thousand.

    - ``modes``: classes predicted for at least one sample (Metz et al. 2017, arXiv:1611.02163, section 3.3.1).
    - ``mode_kl``: KL(samples' distribution over the modes ‖ uniform) in nats.

    Both depend on the number of samples; published figures are for 26,000. Beside ``mode_kl`` are its "floor", a
    perfect sampler's expected value for as many samples, and the mean "confidence": noise is assigned to modes too.
    """

    name = "modes"
    also = ("mode_kl",)
    needs = frozenset({"logits"})

    def applies_to(self, extractor: FeatureExtractor) -> bool:
        """Return whether the extractor's classes are modes."""
        return extractor.counts_modes

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Return nothing: the reference is the uniform distribution."""
        return {}

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return both figures, with "histogram" [K] as detail."""
        assert sample.logits is not None
        n, classes = sample.logits.shape
        counts, uniform = torch.bincount(sample.logits.argmax(1), minlength=classes), torch.ones(classes)
        beside = {"floor": expected_divergence(uniform, n), "confidence": mean_confidence(sample.logits)}
        expected = {"expected": classes * (1 - (1 - 1 / classes) ** n), "confidence": beside["confidence"]}
        names = [extractor.score_name(name) for name in (self.name, *self.also)]
        divergence = histogram_divergence(counts, uniform)
        return [
            Figure(names[0], float((counts > 0).sum()), n, details={"histogram": counts}, beside=expected),
            Figure(names[1], divergence, n, beside=beside),
        ]


def mean_confidence(logits: Tensor) -> float:
    """Return the mean probability of the most likely class, given logits [N, K]."""
    return float(logits.softmax(1).max(1).values.double().mean())
