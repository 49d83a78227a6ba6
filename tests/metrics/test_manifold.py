"""Precision, recall, density and coverage against their formulas on full distance matrices."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch_fidelity.metric_prc import calculate_precision_recall_full

from saddlepoint.metrics.evaluation import Evaluator
from saddlepoint.metrics.features import RandomFeatures
from saddlepoint.metrics.manifold import compare, radii
from saddlepoint.metrics.real import RealStatistics

AT = {
    "ema": True, "batchnorm": "running", "labels": "none", "images_seen": 640, "generator_updates": 9, "revision": "a",
}  # fmt: skip


def naive(
    real: torch.Tensor, fake: torch.Tensor, k: int = 3, k_density: int = 5, k_fake: int | None = None
) -> tuple[float, float, float, float]:
    """Return the figures by the papers' formulas, with loops."""
    x, y = real.double().numpy(), fake.double().numpy()
    across, own_x, own_y = cdist(x, y), np.sort(cdist(x, x), 1), np.sort(cdist(y, y), 1)  # column 0 is the row itself
    reach_x, reach_y, reach_density = own_x[:, k], own_y[:, k_fake or k], own_x[:, k_density]
    precision = np.mean([any(across[i, j] <= reach_x[i] for i in range(len(x))) for j in range(len(y))])
    recall = np.mean([any(across[i, j] <= reach_y[j] for j in range(len(y))) for i in range(len(x))])
    density = sum(across[i, j] < reach_density[i] for i in range(len(x)) for j in range(len(y))) / (k_density * len(y))
    coverage = np.mean([min(across[i]) < reach_density[i] for i in range(len(x))])
    return float(precision), float(recall), float(density), float(coverage)


def draw(n: int, dim: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)) * scale + shift


@pytest.mark.parametrize("block", [7, 64, 1024])
@pytest.mark.parametrize(("n", "m", "scale", "shift"), [(90, 120, 1.0, 0.0), (130, 60, 0.5, 0.4), (80, 80, 2.0, 100.0)])
def test_equal_the_formulas(block: int, n: int, m: int, scale: float, shift: float) -> None:
    real, fake = draw(m, 6, 0, shift=100), draw(n, 6, 1, scale, 100 + shift)
    assert compare(real, fake, block=block) == pytest.approx(naive(real, fake), abs=1e-12)


@pytest.mark.parametrize(("k", "k_density"), [(1, 1), (5, 3), (10, 10)])
def test_any_number_of_neighbours(k: int, k_density: int) -> None:
    real, fake = draw(100, 4, 2), draw(100, 4, 3, 0.8)
    found = compare(real, fake, precision_neighbours=k, density_neighbours=k_density)
    assert found == pytest.approx(naive(real, fake, k, k_density), abs=1e-12)


def test_precision_and_recall_equal_torch_fidelitys() -> None:
    real, fake = draw(150, 8, 4), draw(140, 8, 5, 0.7, 0.3)
    assert compare(real, fake)[:2] == pytest.approx(calculate_precision_recall_full(fake, real), abs=1e-6)


def test_known_cases() -> None:
    real = draw(200, 5, 6)
    assert compare(real, real + 1000) == (0, 0, 0, 0)
    # Copies of one memorised image have precision only.
    precision, recall, density, coverage = compare(real, real[:1].repeat(200, 1))
    assert precision == 1
    assert recall == 1 / 200
    assert coverage <= 40 / 200
    assert density == pytest.approx(200 * coverage / 5)
    # The ball of a distant real outlier contains everything; density is robust to it.
    outlier = torch.cat([real, torch.full((1, 5), 1e3)])
    found = compare(outlier, draw(100, 5, 7, 3.0, 30.0))
    assert (found.precision, found.density) == (1, pytest.approx(1 / 5))


def test_copies_of_real_images_are_on_the_edges_of_balls() -> None:
    """Each is the k-th neighbour of k others on average: with closed balls, density would be 6/5."""
    real = draw(150, 30, 8) * 7 + 50
    assert compare(real, real, block=32) == (1, 1, 1, 1)


def test_rows_on_a_lattice_lie_on_many_edges() -> None:
    """Far from the origin, float32 cannot decide these comparisons, most of which are equalities."""
    lattice = torch.cartesian_prod(*[torch.arange(4.0)] * 4) / 3
    far = torch.tensor([4000.0, -3000.0, 2000.0, 1000.0])
    real, fake = torch.cat([lattice + far, lattice[:64] - far]), torch.cat([lattice[::2] + far, lattice[:40] - far])
    for block in (32, 512):
        assert compare(real, fake, block=block) == pytest.approx(naive(real, fake), abs=1e-12)


def test_equal_rows() -> None:
    """All pairs lie on all edges."""
    assert compare(torch.ones(300, 5), torch.ones(300, 5), block=300) == (1, 1, 0, 0)


def test_few_rows_have_fewer_neighbours() -> None:
    real, fake = draw(4, 2, 0), draw(3, 2, 1)
    assert radii(real, 5).shape == (4, 3)
    assert compare(real, fake) == pytest.approx(naive(real, fake, 3, 3, k_fake=2), abs=1e-12)


@pytest.mark.parametrize("channels", [1, 3])
def test_scores_of_images_equal_the_formulas(channels: int, unlabelled, tmp_path) -> None:
    """Gray and RGB images, through the extractor and the evaluation, with the figures of held-out images."""
    splits = {s: (images[:150].repeat(1, channels, 1, 1), None) for s, (images, _) in unlabelled.splits.items()}
    data, extractor = type(unlabelled)(splits), RandomFeatures()
    names = ("precision", "recall", "density", "coverage")
    reference = RealStatistics.compute(data, extractor, tmp_path, n=150, metrics=names[1:])
    fakes = (splits["held_out"][0].float() * 0.9).to(torch.uint8)
    cards = Evaluator(extractor, reference, names, n=150).score(fakes.split(64), **AT)
    train, held_out = (extractor(splits[split][0]).pool for split in ("train", "held_out"))
    assert [card.metric for card in cards] == [f"{name}_random" for name in names]
    assert [card.value for card in cards] == pytest.approx(naive(train, extractor(fakes).pool), abs=1e-12)
    assert [card.real for card in cards] == pytest.approx(naive(train, held_out), abs=1e-12)
    assert all(card.note is None for card in cards)

    copies = fakes[:1].repeat(150, 1, 1, 1)
    cards = Evaluator(extractor, reference, names, n=150).score(copies.split(64), **AT)
    _, recall, _, coverage = naive(train, extractor(copies).pool)
    note = f"cannot be read alone: recall is {recall:.2g} and coverage {coverage:.2g}"
    assert [card.note for card in cards] == [note, None, note, None]
