"""The torchmetrics modules equal the score cards, on one process and on two, and in a LightningModule."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchmetrics import MetricCollection

from saddlepoint.metrics.base import small_pixels
from saddlepoint.metrics.evaluation import Evaluator, evaluate_vectors
from saddlepoint.metrics.features import RandomFeatures
from saddlepoint.metrics.modules import (
    DuplicateRate,
    EffectiveSupport,
    FrechetFeatureDistance,
    MixtureCoverage,
    PrecisionRecallDensityCoverage,
)
from saddlepoint.metrics.modules.base import TwoSampleMetric
from saddlepoint.metrics.real import RealStatistics
from saddlepoint.metrics.rows import selected_batches
from saddlepoint.metrics.support import Support

PROGRAM = Path(__file__).with_name("modules_program.py")
AT = {
    "ema": True, "batchnorm": "running", "labels": "none", "images_seen": 640, "generator_updates": 9, "revision": "a",
}  # fmt: skip
METRICS = ("fid", "precision", "duplicates")


def updated(metric: TwoSampleMetric, real: Iterable[Tensor], fake: Iterable[Tensor]) -> TwoSampleMetric:
    for samples in real:
        metric.update(samples, real=True)
    for samples in fake:
        metric.update(samples, real=False)
    return metric


@pytest.mark.parametrize(("n", "reference_n"), [(300, None), (1000, 200)])
def test_figures_are_those_of_the_score_cards(digits, tmp_path, n: int, reference_n: int | None) -> None:
    """Bitwise; with more samples than real images, only as many are compared."""
    extractor = RandomFeatures()
    reference = RealStatistics.compute(
        digits, extractor, tmp_path, n=n, seed=7, metrics=METRICS, reference_n=reference_n
    )
    fakes = (torch.cat([images for images, _ in digits.splits.values()]).float() * 0.9).to(torch.uint8)[-n:]
    fakes[-20:] = fakes[:20]
    cards = {
        card.metric: card for card in Evaluator(extractor, reference, METRICS, n, seed=7).score(fakes.split(64), **AT)
    }
    chosen = selected_batches(digits, "train", reference.header["size"], 7)
    real = [images[rows] for images, _, rows in chosen]

    distance = updated(FrechetFeatureDistance(extractor), real, fakes.split(64))
    assert float(distance.compute()) == cards["fid_random"].value
    overlap = updated(PrecisionRecallDensityCoverage(extractor, seed=7), real, fakes.split(64)).compute()
    assert len(overlap) == 4
    for name, value in overlap.items():
        assert float(value) == cards[f"{name}_random"].value
    spaces = {
        "features": (extractor, real, fakes.split(64)),
        "pixels": (64, [small_pixels(part) for part in real], [small_pixels(fakes)]),
    }
    for space, (features, *samples) in spaces.items():
        rate = updated(DuplicateRate(features, seed=7), *samples).compute()
        label = space.replace("features", "random")
        assert float(rate) == cards[f"duplicates_{label}"].value > 0
        support = updated(EffectiveSupport(features, seed=7), *samples).compute()
        card, baseline = cards[f"support_{label}"], reference.tensors[f"duplicates.{space}.support"]
        assert float(support["support"]) == card.value
        assert (float(support["at_least"]), float(support["at_most"])) == card.interval
        assert float(support["real_support"]) == Support.from_tensor(baseline).size


def test_coverage_of_a_mixture_is_that_of_the_score_cards() -> None:
    means = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
    points = means[torch.arange(500) % 2] + 0.3 * torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    metric = MixtureCoverage(means, std=0.2)
    for part in points.split(64):
        metric.update(part)
    cards = evaluate_vectors(points, means, 0.2, "three", 0, **AT)
    assert {name: float(value) for name, value in metric.compute().items()} == {c.metric: c.value for c in cards}
    other = MixtureCoverage(means, std=0.2)
    other.update(points[:100])
    batch = other(points[100:])  # forward returns the figures of the batch
    assert float(batch["modes"]) == 2
    assert other.compute() == metric.compute()


@pytest.mark.slow
def test_two_processes_in_a_lightning_module_give_the_figures_of_one(tmp_path, monkeypatch) -> None:
    """Also if one of them has no samples."""
    monkeypatch.syspath_prepend(PROGRAM.parent)
    from modules_program import batches, one_sided, validate

    started = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*started, PROGRAM, tmp_path], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    assert ranks[0] == ranks[1]
    alone = {"validated": validate(batches()), "one_sided": one_sided(rank=1)}
    assert {kind: len(figures) for kind, figures in alone.items()} == {"validated": 16, "one_sided": 14}
    assert 0 < float.fromhex(alone["one_sided"]["duplicates"]) < 1
    for kind, figures in alone.items():
        assert figures.keys() == ranks[0][kind].keys()
        for name, value in figures.items():
            together, expected = float.fromhex(ranks[0][kind][name]), float.fromhex(value)
            if name.endswith("fid"):  # moments are merged in a different order
                assert together == pytest.approx(expected, rel=1e-11), kind
            else:
                assert together == expected, (kind, name)
            logged = float.fromhex(alone["validated"][name.removeprefix("logged_")])
            assert logged == pytest.approx(expected, rel=1e-6)


def test_processes_merge_moments_exactly() -> None:
    """Up to float64's rounding, with a mean of a million standard deviations."""
    rows = 1e6 + torch.randn(200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole, *parts = (FrechetFeatureDistance(3) for _ in range(4))
    whole.update(rows, real=True)
    for part, some in zip(parts, (rows[:20], rows[:0], rows[20:]), strict=True):
        part.update(some, real=True)
    merge = whole._reductions["real_moments"]
    merged = merge(torch.stack([part.real_moments for part in parts]))
    torch.testing.assert_close(merged, whole.real_moments, rtol=1e-12, atol=1e-7)
    expected = torch.cov(rows.T, correction=1) * 199
    torch.testing.assert_close(merged[1:, 1:], expected, rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize("kind", [FrechetFeatureDistance, DuplicateRate])
@pytest.mark.parametrize("keep", [False, True])
def test_reset_can_keep_the_real_samples(kind: type, keep: bool) -> None:
    random = torch.Generator().manual_seed(0)
    real, first, second = (torch.rand(50, 2, generator=random) for _ in range(3))
    metric = updated(kind(2, reset_real_features=not keep), [real], [first])
    expected = updated(kind(2), [real], [second]).compute()
    metric.compute()
    metric.reset()
    metric.update(second, real=False)
    if keep:
        assert metric.compute() == expected
        batch = metric(first, real=False)  # forward returns the figure of the batch and adds it
        assert batch == updated(kind(2), [real], [first]).compute()
        expected = float(updated(kind(2), [real], [second, first]).compute())
        assert float(metric.compute()) == expected
    else:
        with pytest.raises(ValueError, match="2 real and 2 generated samples, got 0 and 50"):
            metric.compute()


def test_samples_are_not_part_of_a_state_dict(grid) -> None:
    images = torch.randint(0, 256, (9, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    kinds = (FrechetFeatureDistance, DuplicateRate, EffectiveSupport, PrecisionRecallDensityCoverage)
    collection = MetricCollection([kind(grid) for kind in kinds])
    collection.update(images, real=True)
    collection.update(images, real=False)
    assert collection.state_dict() == {}
    alone = updated(PrecisionRecallDensityCoverage(grid), [images], [images]).compute()
    assert collection.compute().items() >= alone.items()


def test_rows_of_another_size_and_floats_as_images_are_refused(grid) -> None:
    with pytest.raises(ValueError, match=r"rows of shape \[N, 3\], got \[5, 2\]"):
        FrechetFeatureDistance(3).update(torch.zeros(5, 2), real=True)
    with pytest.raises(TypeError, match="uint8"):
        DuplicateRate(grid).update(torch.zeros(5, 1, 8, 8), real=True)
    with pytest.raises(FloatingPointError):
        MixtureCoverage(torch.zeros(1, 2), 1.0).update(torch.full((1, 2), torch.nan))
    with pytest.warns(UserWarning, match="before"), pytest.raises(ValueError, match="at least one point"):
        MixtureCoverage(torch.zeros(1, 2), 1.0).compute()
