"""KID against a double loop and torch-fidelity."""

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

from saddlepoint.metrics.base import Sample
from saddlepoint.metrics.features import RandomFeatures
from saddlepoint.metrics.kernel import KernelDistance, kernel_distances, subset_distances
from saddlepoint.metrics.rows import permutation


def features(n: int, shift: float, seed: int, dim: int = 6) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)) + shift


def naive(x: torch.Tensor, y: torch.Tensor) -> float:
    """Return the unbiased MMD² by a double loop over rows of equal number m."""
    m, x, y = len(x), x.double(), y.double()

    def kernel(a: torch.Tensor, b: torch.Tensor) -> float:
        return (float(a @ b) / len(a) + 1) ** 3

    within = sum(kernel(z[i], z[j]) for z in (x, y) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within - 2 * sum(kernel(x[i], y[j]) for i in range(m) for j in range(m)) / m**2


def test_equals_a_double_loop() -> None:
    x, y = features(11, 0, 1).double(), features(11, 0.5, 2).double()
    assert kernel_distances(x, y).tolist() == [pytest.approx(naive(x, y), rel=1e-12)]


@pytest.mark.parametrize("subsets", [3, 60])
def test_each_subset_equals_a_double_loop_over_its_rows(subsets: int) -> None:
    """Three subsets are fewer pairs than all rows have, and sixty are more: both ways of summing are used."""
    x, y = features(40, 0, 1).double(), features(30, 0.3, 2).double()
    ours = kernel_distances(x, y, seed=5, subset=9, subsets=subsets)
    assert len(ours) == subsets
    for index in (0, 1, subsets - 1):
        i, j = (permutation(n, 5, f"kid {side} {index}")[:9] for n, side in ((40, "real"), (30, "fake")))
        assert float(ours[index]) == pytest.approx(naive(x[i], y[j]), rel=1e-10)


@pytest.mark.parametrize(("n", "m"), [(2_500, 400), (150, 170)])
def test_equals_torch_fidelity_on_its_own_subsets(n: int, m: int) -> None:
    """Its 100 subsets are drawn alternately of both sides, from one stream of NumPy's generator."""
    fake, real = features(n, 0.1, 1, 16).relu(), features(m, 0, 2, 16).relu()
    theirs = kid_features_to_metric(fake, real, kid_subset_size=100, rng_seed=7, verbose=False)
    random, subsets = np.random.RandomState(7), []
    for _ in range(100):
        subsets.append([torch.from_numpy(random.choice(len(x), 100, replace=False)) for x in (fake, real)])
    of_fake, of_real = (torch.stack(side) for side in zip(*subsets, strict=True))
    ours = subset_distances(real, fake, of_real, of_fake)
    assert float(ours.mean()) == pytest.approx(theirs[KEY_METRIC_KID_MEAN], rel=1e-4)
    assert float(ours.std(correction=0)) == pytest.approx(theirs[KEY_METRIC_KID_STD], rel=1e-4)


def test_mean_and_spread_are_those_of_torch_fidelity() -> None:
    """Over new samples, and with own subsets: the standard deviation of the score, and that among its subsets.

    Subsets of 400 of the 2,000 rows have the same mean, but a score of about twice the standard deviation.
    """
    scores: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": [], "of a part": []}
    for seed in range(25):
        real, fake = features(2_000, 0, 2 * seed, 16).relu(), features(2_000, 0.2, 2 * seed + 1, 16).relu()
        theirs = kid_features_to_metric(fake, real, kid_subset_size=200, rng_seed=seed, verbose=False)
        scores["theirs"].append((theirs[KEY_METRIC_KID_MEAN], theirs[KEY_METRIC_KID_STD]))
        for name, rows in (("ours", 2_000), ("of a part", 400)):
            values = kernel_distances(real[:rows], fake[:rows], seed, subset=200)
            scores[name].append((float(values.mean()), float(values.std(correction=0))))
    ours, theirs, part = (np.array(scores[name]) for name in ("ours", "theirs", "of a part"))
    spread = theirs[:, 0].std()
    assert abs(ours[:, 0].mean() - theirs[:, 0].mean()) < spread / 5
    assert ours[:, 0].std() == pytest.approx(spread, rel=0.25)
    assert part[:, 0].std() > 1.4 * spread
    assert ours[:, 1].mean() == pytest.approx(theirs[:, 1].mean(), rel=0.05)


def test_figure_uses_all_rows_of_both_sides() -> None:
    real, fake = features(2_600, 0, 1), features(2_300, 0.2, 2)
    metric, extractor = KernelDistance(seed=3), RandomFeatures()
    (figure,) = metric.figures(Sample(pool=fake), metric.reference(Sample(train_pool=real)), extractor)
    values = kernel_distances(real, fake, seed=3)
    assert (figure.name, figure.n, figure.splits) == ("kid_random", 2_300, 100)
    assert figure.beside == {"subset": 1_000, "real_rows": 2_600}
    assert figure.value == float(values.mean())
    spread = float(values.std(correction=0))
    assert figure.interval == pytest.approx((figure.value - spread, figure.value + spread), rel=1e-12)


def test_seeds_choose_the_subsets() -> None:
    x, y = features(60, 0, 1), features(50, 0.3, 2)
    first, again, other = (kernel_distances(x, y, seed=seed, subset=20) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_is_unbiased_for_equal_distributions() -> None:
    """The mean over many draws is zero within its standard error, and single draws have both signs."""
    values = torch.cat([kernel_distances(features(40, 0, 2 * s), features(40, 0, 2 * s + 1)) for s in range(200)])
    assert abs(float(values.mean())) < 3 * float(values.std()) / 200**0.5
    assert values.min() < 0 < values.max()


def test_one_row_is_too_few() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        kernel_distances(features(1, 0, 0), features(5, 0, 1))
