"""Nearest neighbours and duplicates against SciPy's full distance matrix."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from saddlepoint.metrics.base import Sample, small_pixels
from saddlepoint.metrics.collisions import near_copies
from saddlepoint.metrics.duplicates import NEIGHBOURS, PAIRS, Duplicates, by_class, class_references
from saddlepoint.metrics.neighbours import closest_pairs, nearest_neighbours
from saddlepoint.metrics.support import Support, estimate


def pixels(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (n, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_equal_the_full_matrix_in_any_blocks(block: int) -> None:
    rows = pixels(100)
    matrix = cdist(rows.double().numpy(), rows.double().numpy())
    np.fill_diagonal(matrix, np.inf)
    distances, indices = nearest_neighbours(rows, neighbours=3, block=block)
    np.testing.assert_allclose(distances, np.sort(matrix, 1)[:, :3], rtol=1e-12)
    np.testing.assert_allclose(matrix[np.arange(100)[:, None], indices.numpy()], distances, rtol=1e-12)


def test_planted_copies_are_at_distance_zero() -> None:
    rows = torch.randn(300, 20, generator=torch.Generator().manual_seed(0)) + 1000
    rows[250], rows[17] = rows[3], rows[201]
    distances, indices = nearest_neighbours(rows, neighbours=4, block=64)
    pairs, lengths = closest_pairs(distances, indices, pairs=3)
    assert pairs[:2].tolist() == [[3, 250], [17, 201]]
    assert lengths[:2].tolist() == [0, 0]
    assert (distances[:, 0] == 0).nonzero().flatten().tolist() == [3, 17, 201, 250]
    assert lengths[2] > 0


def test_closest_pairs_equal_the_full_matrix() -> None:
    rows = pixels(60)
    matrix = cdist(rows.double().numpy(), rows.double().numpy())
    upper = np.sort(matrix[np.triu_indices(60, 1)])
    _, lengths = closest_pairs(*nearest_neighbours(rows, neighbours=20), pairs=20)
    np.testing.assert_allclose(lengths, upper[:20], rtol=1e-12)


def sample(rows: torch.Tensor, logits: torch.Tensor | None = None, **baselines: Sample) -> Sample:
    """Return a sample whose features and pixels are these rows, with equal sharpness."""
    return Sample(
        pool=rows.float(), pixels=rows, logits=logits, sharpness=torch.zeros(len(rows), 2), baselines=baselines
    )


def test_shares_of_planted_copies(grid) -> None:
    """Of 200 distinct images, 10 are copied: 20 of 210 samples have a copy, and 10 of all pairs are near."""
    metric = Duplicates()
    rows = pixels(200, 1)
    reference = metric.reference(sample(pixels(500, 2)))
    copied = torch.cat([rows, rows[:10]])
    figures = {figure.name: figure for figure in metric.figures(sample(copied), reference, grid)}
    assert list(figures) == ["duplicates_grid", "support_grid", "duplicates_pixels", "support_pixels", "sharpness_gap"]
    for space in ("grid", "pixels"):
        shares, support = figures[f"duplicates_{space}"], figures[f"support_{space}"]
        assert shares.value == 20 / 210
        assert {tuple(pair) for pair in shares.details["pairs"][:10].tolist()} == {(i, 200 + i) for i in range(10)}
        assert support.beside["rate"] == pytest.approx(10 / (210 * 209 / 2))
        assert support.value == pytest.approx((210 * 209 / 2 + 1) / 11)
        assert support.interval[0] < 210 * 209 / 20 < support.interval[1]
    clean = {figure.name: figure for figure in metric.figures(sample(rows), reference, grid)}
    assert clean["duplicates_pixels"].value == pytest.approx(0, abs=0.01)


def test_the_threshold_is_the_quantile_of_the_full_matrix() -> None:
    rows = pixels(400)
    matrix = cdist(rows.double().numpy(), rows.double().numpy())
    np.fill_diagonal(matrix, np.inf)
    reference = Duplicates().reference(sample(rows))
    assert float(reference["pixels"]) == pytest.approx(np.quantile(matrix.min(1), 0.001), rel=1e-12)
    assert float(reference["pixels.loose"]) == pytest.approx(np.quantile(matrix.min(1), 0.01), rel=1e-12)
    near = matrix <= np.quantile(matrix.min(1), 0.01)
    assert Support.from_tensor(reference["pixels.loose_support"]).pairs == near.sum() // 2


def test_baselines_have_the_same_threshold() -> None:
    rows, held_out, blurred = pixels(300), pixels(100, 3), pixels(80, 4) // 8
    reference = Duplicates().reference(sample(rows, held_out=sample(held_out), blurred=sample(blurred)))
    threshold = float(reference["pixels"])
    for name, baseline in (("held_out", held_out), ("blurred", blurred)):
        matrix = cdist(baseline.double().numpy(), baseline.double().numpy())
        expected = (matrix[np.triu_indices(len(baseline), 1)] <= threshold).mean()
        assert Support.from_tensor(reference[f"pixels.{name}"]).rate == pytest.approx(expected)
    across = cdist(held_out.double().numpy(), rows.double().numpy()).min(1)
    assert float(reference["pixels.across"]) == pytest.approx((across <= threshold).mean())


def test_the_20_closest_pairs_are_exactly_those_of_the_full_matrix() -> None:
    """Also in a tight cluster, where one image is part of many pairs."""
    rows = torch.cat([pixels(200).float(), torch.randn(9, 48, generator=torch.Generator().manual_seed(0))])
    matrix = cdist(rows.double().numpy(), rows.double().numpy())
    _, lengths = closest_pairs(*nearest_neighbours(rows, NEIGHBOURS), pairs=PAIRS)
    np.testing.assert_allclose(lengths, np.sort(matrix[np.triu_indices(209, 1)])[:PAIRS], rtol=1e-6)


def test_the_collapsed_class_is_named(grid) -> None:
    """Class 1 consists of copies of 5 images; class 0 is as diverse as real images."""
    metric = Duplicates()
    classes = torch.arange(400) % 2
    logits = torch.nn.functional.one_hot(classes, 2).float()
    reference = metric.reference(sample(pixels(400, 5), logits))
    rows = pixels(400, 6)
    rows[classes == 1] = rows[classes == 1][torch.arange(200) % 5]
    grid.predicts_labels = True
    figures = {figure.name: figure for figure in metric.figures(sample(rows, logits), reference, grid)}
    found = figures["class_support_pixels"]
    assert found.value == pytest.approx(5, rel=0.05)
    assert found.interval[0] <= 5 <= found.interval[1]
    assert found.n == 200
    assert found.note.startswith("class 1: collapsed")
    assert found.beside["class_0"] > 1000
    assert found.details["classes"].tolist() == [0, 1]


def test_a_collapsed_class_is_named_where_another_has_more_copies() -> None:
    """Class 0 is small, so its bound is wide: it has the higher rate of copies and no verdict, unlike class 1."""
    generator = torch.Generator().manual_seed(0)
    real, rows = (torch.randn(2100, 16, generator=generator) for _ in range(2))
    classes = (torch.arange(2100) >= 100).long()
    references = class_references(real, classes, 2)
    rows[1], rows[150:300] = rows[0], rows[300:450]
    note = by_class("pixels", rows, classes, references, None, None)[0].note
    assert note is not None
    assert note.startswith("class 0: no collapse seen")
    assert note.endswith("; also collapsed: classes 1")


def test_no_verdict_if_the_sharpness_differs(grid) -> None:
    metric = Duplicates()
    reference = metric.reference(sample(pixels(300)))
    rows = sample(pixels(300, 1)[torch.arange(300) % 10])
    (collapsed,) = (f for f in metric.figures(rows, reference, grid) if f.name == "support_pixels")
    assert collapsed.note.startswith("collapsed")
    rows.sharpness = torch.tensor([[-0.3, 0.0]]).repeat(300, 1)
    figures = {figure.name: figure for figure in metric.figures(rows, reference, grid)}
    assert figures["support_pixels"].note.startswith("no verdict: samples are blurrier than real images, by -0.30")
    assert figures["sharpness_gap"].value == pytest.approx(0.3)
    assert figures["support_pixels"].value == collapsed.value


@pytest.mark.parametrize("heavy", [0.0, 0.3])
def test_a_sampler_of_known_support_lies_inside_the_interval(digits, heavy: float) -> None:
    """300 samples of 40 distinct digits, equally likely or one with 30 %; in at least 90 of 100 seeds."""
    rows = small_pixels(digits.splits["train"][0])
    radius = float(Duplicates().reference(sample(rows[:500]))["pixels"])
    support_images = rows[500:540]
    assert near_copies(support_images, radius).sum() == 0
    p = torch.full((40,), (1 - heavy) / (40 - (heavy > 0)))
    p[0] = heavy or p[0]
    inside = 0
    for seed in range(100):
        drawn = torch.multinomial(p, 300, replacement=True, generator=torch.Generator().manual_seed(seed))
        found = estimate(near_copies(support_images[drawn], radius))
        inside += found.at_least <= 1 / float(p.square().sum()) <= found.at_most
    assert inside >= 90


def test_large_images_are_averaged_down() -> None:
    images = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    images[..., :2, :2] = torch.tensor([[10, 20], [30, 40]])
    rows = small_pixels(images)
    assert rows.shape == (1, 32 * 32)
    assert rows[0, 0] == 25
    assert rows[0, 1:].sum() == 0
