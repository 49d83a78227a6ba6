"""Agreement between the class that a conditional generator was given and the class that a classifier predicts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from saddlepoint.metrics.base import Figure, Metric, Sample
from saddlepoint.metrics.features.base import FeatureExtractor


class ClassAgreement(Metric):
    """The fraction of samples that the data set's own classifier assigns to the class they were conditioned on.

    Chance is the largest class's frequency; the card's ``real`` is the classifier's accuracy on held-out images. A
    generator with one perfect image per class reaches 1, so read it together with the Fréchet distance. The agreement
    of the worst class is on the card beside the mean. Unconditional generators have no such score.
    """

    name = "class_agreement"
    needs = frozenset({"logits", "labels"})

    def applies_to(self, extractor: FeatureExtractor) -> bool:
        """Return whether the extractor predicts the data set's labels."""
        return extractor.predicts_labels

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Return an empty dictionary, since there is no comparison with real images."""
        return {}

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return the agreement; that of each class is the detail "per_class", NaN for classes without samples."""
        if sample.labels is None:
            return []
        assert sample.logits is not None
        classes = sample.logits.shape[1]
        correct = sample.labels[sample.logits.argmax(1) == sample.labels]
        requested = torch.bincount(sample.labels, minlength=classes)
        per_class = torch.bincount(correct, minlength=classes).double() / requested
        name, n = extractor.score_name(self.name), len(sample.labels)
        worst = float(per_class[requested > 0].min())
        return [Figure(name, len(correct) / n, n, details={"per_class": per_class}, beside={"worst_class": worst})]
