"""Scores of class-conditional samples: agreement by hand, Fréchet distances against SciPy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch

from saddlepoint.errors import UserError
from saddlepoint.metrics.agreement import ClassAgreement
from saddlepoint.metrics.base import Collector, Sample
from saddlepoint.metrics.directions import lower_is_better
from saddlepoint.metrics.features.base import Features
from saddlepoint.metrics.features.classifier import ClassifierFeatures
from saddlepoint.metrics.features.random import RandomFeatures
from saddlepoint.metrics.intra_fid import IntraFrechet
from saddlepoint.metrics.real import RealStatistics

SEEN = torch.tensor([0, 0, 1, 1, 1, 2])
ASKED = torch.tensor([0, 1, 1, 1, 2, 2])


def test_agreement_is_the_fraction_of_samples_of_the_requested_class() -> None:
    sample = Sample(logits=torch.eye(4)[SEEN], labels=ASKED)
    (figure,) = ClassAgreement().figures(sample, {}, ClassifierFeatures())
    assert figure.name == "class_agreement_classifier"
    assert figure.value == pytest.approx(4 / 6)
    assert figure.n == 6
    torch.testing.assert_close(
        figure.details["per_class"], torch.tensor([1, 2 / 3, 1 / 2, torch.nan]).double(), equal_nan=True
    )
    assert figure.beside == {"worst_class": pytest.approx(0.5)}


def test_unconditional_samples_have_no_agreement() -> None:
    assert ClassAgreement().figures(Sample(logits=torch.eye(4)[SEEN]), {}, ClassifierFeatures()) == []
    assert not ClassAgreement().applies_to(RandomFeatures())
    assert not lower_is_better("class_agreement_classifier")


def test_intra_fid_is_the_mean_of_the_classes_distances() -> None:
    """Against SciPy's matrix root; one class has no samples, and another has a single one."""
    random = torch.Generator().manual_seed(0)
    pools, labels = torch.randn(2, 200, 3, generator=random), torch.arange(200) % 2
    pools[1] = pools[1] * 1.5 + labels[:, None]
    labels[-1] = 2
    real, fake = (collected(pool, labels) for pool in pools)
    metric = IntraFrechet()
    (figure,) = metric.figures(fake, metric.reference(real), ClassifierFeatures())
    distances = []
    for label in (0, 1):
        a, b = (pool[labels == label].double().numpy() for pool in pools)
        root = scipy.linalg.sqrtm(np.cov(a.T) @ np.cov(b.T)).real
        gap = a.mean(0) - b.mean(0)
        distances.append(gap @ gap + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root))
    assert figure.name == "intra_fid_classifier"
    assert figure.value == pytest.approx(np.mean(distances), rel=1e-6)
    assert figure.beside == {"worst_class": pytest.approx(max(distances), rel=1e-6)}
    assert figure.n == 199
    assert metric.figures(Sample(), metric.reference(real), ClassifierFeatures()) == []
    with pytest.raises(UserError) as caught:
        metric.reference(Sample())
    assert (caught.value.key, caught.value.problem) == ("metrics", "intra_fid needs a class with at least two images")


def test_intra_fid_of_too_many_classes_is_refused_before_their_moments_fill_the_memory(
    digits: Any, unlabelled: Any, grid: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saddlepoint.metrics.intra_fid.LARGEST", 10 * 4 * 4 - 1)
    problems = {"intra_fid would keep 0.0 GB for 10 classes": digits, "intra_fid needs data with labels": unlabelled}
    for problem, real in problems.items():
        with pytest.raises(UserError) as caught:
            RealStatistics.compute(real, grid, tmp_path, n=4, metrics=["intra_fid"])
        assert (caught.value.key, caught.value.problem) == ("metrics", problem)
        assert real.reads == 0


def collected(pool: torch.Tensor, labels: torch.Tensor) -> Sample:
    """Collect features in two batches."""
    collector = Collector(frozenset({"class_moments", "labels"}), pool.shape[1])
    for part in (slice(0, 90), slice(90, None)):
        images = torch.zeros(len(labels[part]), 1, 8, 8, dtype=torch.uint8)
        collector.add(images, Features(pool[part]), labels[part])
    sample = collector.sample()
    assert torch.equal(sample.labels, labels)
    return sample
