"""Whether a conditional generator makes what it was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from saddlepoint.metrics.base import Figure, Metric, Sample

if TYPE_CHECKING:
    from saddlepoint.metrics.features.base import FeatureExtractor


class ClassAgreement(Metric):
    """The share of samples in which the data set's own classifier sees the class that was asked for.

    Chance is the largest class's share; what the classifier makes of held-out images stands beside it as ``real``. A
    generator that makes one perfect image a class agrees entirely: read it with the Fréchet distance. The card has the
    agreement of the worst class beside the mean. Unconditional generators, asked for nothing, get no such score.
    """

    name = "class_agreement"
    lower_is_better = False
    needs = frozenset({"logits", "labels"})

    def applies_to(self, extractor: FeatureExtractor) -> bool:
        """Only a classifier of the data's own labels can be compared with them."""
        return extractor.predicts_labels

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Keep nothing: the classifier knows the classes."""
        return {}

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return the share; beside it the worst class's, and all classes' as detail "per_class", NaN where none."""
        if sample.labels is None:
            return []
        assert sample.logits is not None
        classes = sample.logits.shape[1]
        right = sample.labels[sample.logits.argmax(1) == sample.labels]
        asked = torch.bincount(sample.labels, minlength=classes)
        per_class = torch.bincount(right, minlength=classes).double() / asked
        name, n = extractor.score_name(self.name), len(sample.labels)
        worst = float(per_class[asked > 0].min())
        return [Figure(name, len(right) / n, n, details={"per_class": per_class}, beside={"worst_class": worst})]
