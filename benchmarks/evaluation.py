"""The cost of scores, compared with torch-fidelity, SciPy and scikit-learn.

    OMP_NUM_THREADS=1 python benchmarks/evaluation.py [--sizes 5000,10000,20000,50000] [--against 20000] [--dim 2048]

CPU time on one thread, so that a busy machine changes little. The implementations run alternately, and ratios are
medians over rounds. scikit-learn and sqrtm take minutes at full size: ``--against`` is the largest n for scikit-learn.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import inception_weights
import numpy as np
import scipy.linalg
import torch
import torch_fidelity
from PIL import Image
from sklearn.neighbors import NearestNeighbors
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from saddlepoint.metrics import catalogue
from saddlepoint.metrics.base import Sample
from saddlepoint.metrics.evaluation import Evaluator
from saddlepoint.metrics.features import InceptionFeatures, RandomFeatures
from saddlepoint.metrics.frechet import Gaussian, frechet_distance, real_root
from saddlepoint.metrics.moments import Moments
from saddlepoint.metrics.neighbours import closest_pairs, nearest_neighbours
from saddlepoint.metrics.real import RealStatistics
from saddlepoint.types import DataInfo

METRICS = ("fid", "is", "kid", "precision")
PAIRS = 20
QUIET = {"verbose": False, "rng_seed": 2020}
Ways = Mapping[str, Callable[[], object]]


def seconds(ways: Ways, rounds: int) -> dict[str, float]:
    """Return the median CPU seconds of each implementation, which run alternately."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            begin = time.process_time()
            way()
            times[name].append(time.process_time() - begin)
    return {name: statistics.median(values) for name, values in times.items()}


def row(what: str, times: Mapping[str, float], wanted: str = "") -> None:
    """Print one line: this project's time, then each other one with its ratio."""
    ours, *others = times.items()
    told = "  ".join(f"{name} {value:8.2f} s = {value / ours[1]:5.1f} times ours" for name, value in others)
    print(f"{what:48} ours {ours[1]:8.2f} s  {told}  {wanted}", flush=True)


def features(n: int, dim: int, seed: int) -> Tensor:
    """Return non-negative rows [n, dim] that vary in about fifty directions, with a little noise."""
    random = torch.Generator().manual_seed(seed)
    mixing = torch.randn(50, dim, generator=torch.Generator().manual_seed(0))
    rows = torch.randn(n, 50, generator=random) @ mixing / 7
    return (rows + 0.2 * torch.randn(n, dim, generator=random) + 0.1 * seed).relu()


def after_extraction(n: int, dim: int, rounds: int) -> None:
    """Time everything after the features, for the same four metrics.

    In a run the real side is known to ours: moments, rows for KID, radii of its balls. torch-fidelity keeps its
    moments, and computes the radii at every evaluation. The second row has both from nothing.
    """
    real, fake = features(n, dim, 0), features(n, dim, 1)
    logits = torch.randn(n, 1008, generator=torch.Generator().manual_seed(2))
    extractor = RandomFeatures()
    metrics = catalogue.build(METRICS[:1] + METRICS[2:], extractor, 0, 10)
    score = catalogue.METRICS["is"](0, 10)
    moments = Moments(dim)
    moments.update(real)
    known = {metric.name: metric.reference(Sample(moments, real, train_pool=real)) for metric in metrics}
    theirs = fid_features_to_statistics(real)

    def ours_anew() -> None:
        again = Moments(dim)
        for part in real.split(64):
            again.update(part)
        known.update({metric.name: metric.reference(Sample(again, real, train_pool=real)) for metric in metrics})
        ours()

    def torch_fidelitys_anew() -> None:
        fid_features_to_statistics(real)
        torch_fidelitys()

    def ours() -> None:
        own = Moments(dim)
        for part in fake.split(64):
            own.update(part)
        for metric in metrics:
            metric.figures(Sample(own, fake), known[metric.name], extractor)
        score.figures(Sample(logits=logits), {}, extractor)

    def torch_fidelitys() -> None:
        fid_statistics_to_metric(fid_features_to_statistics(fake), theirs, verbose=False)
        isc_features_to_metric(logits)
        kid_features_to_metric(fake, real, kid_subsets=100, kid_subset_size=min(1000, n), **QUIET)
        prc_features_to_metric(fake, real, prc_neighborhood=3, prc_batch_size=10_000, save_cpu_ram=False, **QUIET)

    what = f"FID, IS, KID, P&R of {n:,} × {dim}"
    row(f"{what}, real side known", seconds({"ours": ours, "torch-fidelity": torch_fidelitys}, rounds), "(wanted: 3)")
    anew = {"ours": ours_anew, "torch-fidelity": torch_fidelitys_anew}
    row(f"{what}, from nothing", seconds(anew, rounds), "(wanted: 3)")


def passes(n: int) -> None:
    """Count the images that pass through Inception in an evaluation of n samples, with known real statistics."""
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.integers(0, 256, (2 * n, 3, 32, 32), dtype=np.uint8))
    seen: list[int] = []
    forward = FeatureExtractorInceptionV3.forward

    def counted(self: FeatureExtractorInceptionV3, x: Tensor) -> tuple[Tensor, ...]:
        seen.append(len(x))
        return forward(self, x)

    with tempfile.TemporaryDirectory() as folder:
        weights = inception_weights.write(Path(folder) / "weights.pth", images)
        FeatureExtractorInceptionV3.forward = counted
        try:
            ours = count_ours(images, n, weights, seen)
            theirs = count_theirs(images, n, weights, seen)
        finally:
            FeatureExtractorInceptionV3.forward = forward
    print(f"images through Inception for n = {n}, all metrics: ours {ours}, torch-fidelity {theirs}", flush=True)


class Images:
    """Images in memory with the interface of a data set."""

    def __init__(self, images: Tensor) -> None:
        self.images = images
        self.info = DataInfo("noise", tuple(images.shape[1:]), None, {"train": len(images), "held_out": 2}, "0")

    def uint8_batches(self, split: str, batch_size: int = 500) -> object:
        """Yield batches without labels."""
        images = self.images if split == "train" else self.images[:2]
        return ((part, None) for part in images.split(batch_size))


def count_ours(images: Tensor, n: int, weights: Path, seen: list[int]) -> int:
    """Return how many images the network is given in one evaluation."""
    extractor = InceptionFeatures(str(weights), hashlib.sha256(weights.read_bytes()).hexdigest())
    extractor.load(weights.parent)
    reference = RealStatistics.compute(Images(images[:n]), extractor, weights.parent, n, metrics=METRICS)  # type: ignore[arg-type]
    evaluator = Evaluator(extractor, reference, METRICS, n)
    seen.clear()
    evaluator.score(
        images[n:].split(64), ema=True, batchnorm="none", labels="none", images_seen=0, generator_updates=0, revision=""
    )
    return sum(seen)


def count_theirs(images: Tensor, n: int, weights: Path, seen: list[int]) -> int:
    """Return the same for torch-fidelity on two folders, with the real images in its cache."""
    for side, part in (("real", images[:n]), ("fake", images[n:])):
        (weights.parent / side).mkdir()
        for index, image in enumerate(part):
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(weights.parent / side / f"{index}.png")
    arguments = {
        "input1": str(weights.parent / "fake"), "input2": str(weights.parent / "real"), "isc": True, "fid": True,
        "kid": True, "prc": True, "feature_extractor": "inception-v3-compat", "feature_layer_prc": "2048",
        "feature_extractor_weights_path": str(weights), "cuda": False, "kid_subset_size": n, "kid_subsets": 1,
        "isc_splits": 1, "verbose": False, "cache": True, "cache_root": str(weights.parent / "cache"),
        "input2_cache_name": "real",
    }  # fmt: skip
    torch_fidelity.calculate_metrics(**arguments)
    seen.clear()
    torch_fidelity.calculate_metrics(**arguments)
    return sum(seen)


def frechet(dim: int, rounds: int) -> None:
    """Time the Fréchet distance from known moments."""
    real, fake = (fid_features_to_statistics(features(3 * dim, dim, seed).double()) for seed in (0, 1))
    begin = time.process_time()
    known = Gaussian(torch.from_numpy(real["mu"]), real_root(torch.from_numpy(real["sigma"])))
    root = time.process_time() - begin

    def ours() -> float:
        return frechet_distance(known, torch.from_numpy(fake["mu"]), torch.from_numpy(fake["sigma"]))

    def torch_fidelitys() -> float:
        return float(fid_statistics_to_metric(real, fake, verbose=False)["frechet_inception_distance"])

    def sqrtm() -> float:
        difference, product = real["mu"] - fake["mu"], real["sigma"] @ fake["sigma"]
        traces = np.trace(real["sigma"]) + np.trace(fake["sigma"])
        return float(difference @ difference + traces - 2 * np.trace(np.real(scipy.linalg.sqrtm(product))))

    values = [way() for way in (ours, torch_fidelitys)]
    assert abs(values[0] - values[1]) < 1e-6 * values[1], values
    ways = {"ours": ours, "torch-fidelity": torch_fidelitys, "sqrtm": sqrtm}
    row(f"Fréchet distance, {dim} features", seconds(ways, rounds), f"(wanted: 3 and 10; the root, once: {root:.1f} s)")


def neighbours(n: int, dim: int, rounds: int, against: int) -> float:
    """Time each row's nearest neighbour and the 20 closest pairs, and return this project's time."""
    rows = features(n, dim, 0)

    def ours() -> Tensor:
        return closest_pairs(*nearest_neighbours(rows, 1), PAIRS, rows)[1]

    def scikit_learns() -> Tensor:
        # The 20 closest pairs may all be of one row's: fewer neighbours could miss some.
        model = NearestNeighbors(n_neighbors=PAIRS + 1, algorithm="brute").fit(rows.numpy())
        distances, indices = model.kneighbors(rows.numpy())
        others = torch.from_numpy(indices[:, 1:])
        return closest_pairs(torch.from_numpy(distances[:, 1:]).double(), others, PAIRS)[1]

    ways: dict[str, Callable[[], Tensor]] = {"ours": ours}
    if n <= against:
        ways["scikit-learn"] = scikit_learns
        torch.testing.assert_close(ours(), scikit_learns(), rtol=1e-4, atol=1e-6)
    times = seconds(ways, rounds)
    row(f"neighbours, pairs of {n:,} × {dim}", times, "(wanted: 2)" if len(ways) > 1 else "")
    return times["ours"]


def peak_memory(n: int, dim: int) -> float:
    """Return the peak memory of a fresh process that only runs :func:`neighbours`, less that of its start, in GB."""
    # The kernel's high-water mark of this very program; getrusage's would be the parent's where that was larger.
    program = rf"""
import pathlib, re, torch
torch.set_num_threads(1)
from saddlepoint.metrics.neighbours import closest_pairs, nearest_neighbours
peak = lambda: int(re.search(r"VmHWM:\s*(\d+)", pathlib.Path("/proc/self/status").read_text())[1])
closest_pairs(*nearest_neighbours(torch.randn(100, {dim}), 1), {PAIRS})
before = peak()
rows = torch.randn({n}, {dim})
closest_pairs(*nearest_neighbours(rows, 1), {PAIRS}, rows)
print(peak() - before)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return int(result.stdout) * 1024 / 1e9


def main() -> None:
    """Print all lines."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="5000,10000,20000,50000")
    parser.add_argument("--dims", default="784,128")
    parser.add_argument("--against", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--samples", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sizes = [int(size) for size in options.sizes.split(",")]
    passes(16)
    after_extraction(options.samples, options.dim, min(options.rounds, 2))
    frechet(options.dim, 1)
    for dim in (int(dim) for dim in options.dims.split(",")):
        times = [neighbours(n, dim, options.rounds if n <= 10_000 else 1, options.against) for n in sizes]
        growth = [f"{later / earlier:.1f}" for earlier, later in itertools.pairwise(times)]
        squares = [f"{(later / earlier) ** 2:.1f}" for earlier, later in itertools.pairwise(sizes)]
        print(f"growth of our time: {', '.join(growth)}; n² grows {', '.join(squares)}", flush=True)
        print(f"peak memory at {sizes[-1]:,} × {dim}: {peak_memory(sizes[-1], dim):.2f} GB (wanted: 1)", flush=True)


if __name__ == "__main__":
    main()
