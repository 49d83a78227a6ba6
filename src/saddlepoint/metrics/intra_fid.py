"""The Fréchet distance within classes: Miyato & Koyama 2018, arXiv:1802.05637, section 5.1 ("intra FID")."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from saddlepoint.errors import UserError
from saddlepoint.metrics.base import Figure, Metric, Sample
from saddlepoint.metrics.features.base import FeatureExtractor
from saddlepoint.metrics.frechet import Gaussian, frechet_distance, real_root

LARGEST = 1 << 26
"""Limit on the size of the reference, in numbers: half a gigabyte in float64."""


class IntraFrechet(Metric):
    """The mean over classes of the Fréchet distance between the samples conditioned on a class and its real images.

    It detects what the distance over all classes does not: exchanged classes, and collapse within classes. Each
    distance is computed from one class's samples, and the small number biases it upwards: compare at equal n, and with
    ``real``. Unconditional generators have no such score. Not a default metric: ``metrics=[fid, intra_fid]``.
    """

    name = "intra_fid"
    needs = frozenset({"class_moments"})

    def check(self, num_classes: int, dim: int) -> None:
        """Check that there are labels, and that the references of all classes fit in memory.

        Raises:
            UserError: otherwise.
        """
        if num_classes == 0:
            raise UserError("intra_fid needs data with labels", "metrics", "leave it out")
        size = num_classes * dim**2
        if size > LARGEST:
            raise UserError(
                f"intra_fid would keep {size * 8 / 1e9:.1f} GB for {num_classes} classes",
                "metrics",
                "leave it out, or use the features of the data set's own classifier",
            )

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Return each class's mean and root of the covariance.

        Raises:
            UserError: no class has two images.
        """
        classes = {label: moments for label, moments in sorted((real.class_moments or {}).items()) if moments.n > 1}
        if not classes:
            raise UserError("intra_fid needs a class with at least two images", "metrics", "leave it out")
        return {
            "classes": torch.tensor(list(classes)),
            "mean": torch.stack([moments.mean.cpu() for moments in classes.values()]),
            "root": torch.stack([real_root(moments.covariance).cpu() for moments in classes.values()]),
        }

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return the mean over the classes with at least two samples; "per_class" and "classes" are details."""
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
