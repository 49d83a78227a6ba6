"""Mode coverage: of points on a mixture of Gaussians, and of images by their predicted class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
import torch
from scipy.special import xlogy
from scipy.stats import binom, chi2
from torch import Tensor

from saddlepoint.metrics.base import Figure, Metric, Sample

if TYPE_CHECKING:
    from saddlepoint.metrics.features.base import FeatureExtractor


class ModeCoverage(NamedTuple):
    """What :func:`mode_coverage` found.

    Attributes:
        modes: how many modes have a high-quality sample.
        high_quality: share of samples within three standard deviations of the nearest mean, in [0, 1].
        reverse_kl: KL(samples' distribution over the modes ‖ uniform) in nats, in [0, log M].
        mixture_kl: KL in nats of the samples' distribution over "within 3σ of mode 1, …, of mode M, outside" to the
            mixture's own. Unlike the two before, neither collapse onto one clean mode nor an even blur makes it small,
            so it is the figure that says which checkpoint is best.
        counts: long [M], samples nearest to each mean.
    """

    modes: int
    high_quality: float
    reverse_kl: float
    mixture_kl: float
    counts: Tensor


def mode_coverage(points: Tensor, means: Tensor, std: float) -> ModeCoverage:
    """Judge points against a uniform mixture of round Gaussians as PacGAN does (Lin et al. 2018, arXiv:1712.04086).

    Every sample belongs to its nearest mean; it is of high quality within 3σ of it; a mode counts with one such sample.
    The divergence is taken over all samples, of high quality or not.

    Args:
        points: float [N, D].
        means: float [M, D].
        std: σ > 0 of every mode.

    Raises:
        FloatingPointError: ``points`` hold NaN or infinite values.
    """
    if not torch.isfinite(points).all():
        raise FloatingPointError("points hold NaN or infinite values: the generator has diverged")
    means = means.double().cpu()
    # Differences, not the expanded square: far-off points would lose the digits that decide 3σ.
    parts = [torch.cdist(part, means, compute_mode="donot_use_mm_for_euclid_dist").min(1)
             for part in points.double().cpu().split(4096)]  # fmt: skip
    distance, mode = torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])
    good = distance <= 3 * std
    counts = torch.bincount(mode, minlength=len(means))
    good_counts = torch.bincount(mode[good], minlength=len(means))
    uniform = torch.ones(len(means), dtype=torch.float64)
    inside = ceiling(means.shape[1])
    within_and_outside = torch.cat([good_counts, (~good).sum()[None]])
    expected = torch.cat([uniform * inside / len(means), torch.tensor([1 - inside], dtype=torch.float64)])
    return ModeCoverage(
        modes=int((good_counts > 0).sum()),
        high_quality=float(good.double().mean()),
        reverse_kl=histogram_divergence(counts, uniform),
        mixture_kl=histogram_divergence(within_and_outside, expected),
        counts=counts,
    )


def ceiling(dim: int) -> float:
    """Return the mass of a round Gaussian within 3σ, by the chi-squared law.

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
    """Return what :func:`histogram_divergence` gives in expectation for n samples from ``reference`` [K] itself.

    No sampler can be expected to do better, so this is the floor that a divergence is read against. Exact, from the
    binomial law of each class; about (K - 1) / 2n for large n.

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

    On the card beside it: its "floor", what a perfect sampler would score with as many samples; the number of "classes"
    that were seen at all; and the mean "confidence", since argmax counts noise as some class too. The real histogram
    gets one count more a class: a class without training images is no infinity.
    """

    name = "class_kl"
    lower_is_better = True
    needs = frozenset({"logits", "label_counts"})

    def applies_to(self, extractor: FeatureExtractor) -> bool:
        """Only a classifier of the data's own labels can be compared with them."""
        return extractor.predicts_labels

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Keep the label counts of the whole split."""
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
    """Modes covered where the classes are the data's modes, equally likely by construction: Stacked MNIST's thousand.

    - ``modes``: classes that at least one sample is taken for (Metz et al. 2017, arXiv:1611.02163, section 3.3.1).
    - ``mode_kl``: KL(samples' distribution over the modes ‖ uniform) in nats.

    Both depend on the number of samples; published figures have 26,000. Beside ``mode_kl`` stand its "floor", what a
    perfect sampler would score with as many samples, and the mean "confidence": argmax counts noise as modes too.
    """

    name = "modes"
    lower_is_better = False
    also: ClassVar = {"mode_kl": True}
    needs = frozenset({"logits"})

    def applies_to(self, extractor: FeatureExtractor) -> bool:
        """Only where the extractor's classes are modes."""
        return extractor.counts_modes

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Keep nothing: the uniform distribution is known."""
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
    """Return the mean probability of the likeliest class, of logits [N, K]."""
    return float(logits.softmax(1).max(1).values.double().mean())
