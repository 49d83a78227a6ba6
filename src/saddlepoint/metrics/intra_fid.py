"""The Fréchet distance class by class: Miyato & Koyama 2018, arXiv:1802.05637, section 5.1 ("intra FID")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from saddlepoint.errors import UserError
from saddlepoint.metrics.base import Figure, Metric, Sample
from saddlepoint.metrics.frechet import Gaussian, frechet_distance, real_root

if TYPE_CHECKING:
    from saddlepoint.metrics.features.base import FeatureExtractor

LARGEST = 1 << 26
"""Numbers that the real side may keep: half a gigabyte in float64."""


class IntraFrechet(Metric):
    """The mean over classes of the Fréchet distance between what was asked for as a class and its real images.

    It sees what the distance over all classes cannot: classes exchanged, or collapsed one by one. Each class rests on
    its own samples alone, and so few make every distance larger: compare at equal n, and read it beside ``real``.
    Unconditional generators get no such score. Only on request: ``metrics=[fid, intra_fid]``.
    """

    name = "intra_fid"
    lower_is_better = True
    needs = frozenset({"class_moments"})

    def check(self, num_classes: int, dim: int) -> None:
        """Refuse data without labels, and too many classes of too many features: all are in memory at once."""
        if num_classes == 0:
            raise UserError("metric intra_fid needs data with labels: leave it out of callbacks.scores.metrics")
        size = num_classes * dim**2
        if size > LARGEST:
            raise UserError(
                f"metric intra_fid would keep {size * 8 / 1e9:.1f} GB for {num_classes} classes: leave it out, or "
                "take features=classifier"
            )

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Keep each class's mean and root of the covariance.

        Raises:
            UserError: no class has two images.
        """
        classes = {label: moments for label, moments in sorted((real.class_moments or {}).items()) if moments.n > 1}
        if not classes:
            raise UserError("metric intra_fid needs classes of two images or more: leave it out")
        return {
            "classes": torch.tensor(list(classes)),
            "mean": torch.stack([moments.mean.cpu() for moments in classes.values()]),
            "root": torch.stack([real_root(moments.covariance).cpu() for moments in classes.values()]),
        }

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return the mean, over the classes with two samples or more; "per_class" as a detail, with their "classes"."""
        found = {label: moments for label, moments in (sample.class_moments or {}).items() if moments.n > 1}
        rows = [(row, label) for row, label in enumerate(reference["classes"].tolist()) if label in found]
        if not rows:
            return []
        distances = torch.tensor(
            [
                frechet_distance(
                    Gaussian(reference["mean"][row], reference["root"][row]), found[label].mean, found[label].covariance
                )
                for row, label in rows
            ],
            dtype=torch.float64,
        )
        n = sum(found[label].n for _, label in rows)
        details = {"per_class": distances, "classes": torch.tensor([label for _, label in rows])}
        worst = {"worst_class": float(distances.max())}
        return [Figure(extractor.score_name(self.name), float(distances.mean()), n, details=details, beside=worst)]
