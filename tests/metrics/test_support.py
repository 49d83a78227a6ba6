"""The effective support against closed forms and samplers of known support."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import poisson

from saddlepoint.metrics import support
from saddlepoint.metrics.support import Support


def degrees_of(counts: np.ndarray) -> torch.Tensor:
    """Return each sample's number of copies if sample i of the support is drawn ``counts[i]`` times."""
    counts = counts[counts > 0]
    return torch.from_numpy(np.repeat(counts - 1, counts))


def draw(p: np.ndarray, n: int, seed: int) -> torch.Tensor:
    return degrees_of(np.random.default_rng(seed).multinomial(n, p / p.sum()))


SUPPORTS = {
    "ten": np.ones(10),
    "a thousand": np.ones(1000),
    "a hundred thousand": np.ones(100_000),
    "one of ten is half": np.r_[9.0, np.ones(9)],
    "heavy mode that shows often": np.r_[0.1, np.full(100_000, 0.9 / 100_000)],
    "heavy mode that shows thrice": np.r_[0.003, np.full(100_000, 0.997 / 100_000)],
    "two unequal halves": np.r_[np.full(10, 0.05), np.full(10_000, 0.5 / 10_000)],
    "Zipf": 1 / np.arange(1, 10_001),
}


@pytest.mark.parametrize("name", SUPPORTS)
def test_a_known_support_lies_inside_the_interval(name: str) -> None:
    """In at least 90 of 100 seeds, with 1000 samples."""
    p = SUPPORTS[name]
    true = 1 / ((p / p.sum()) ** 2).sum()
    found = [support.estimate(draw(p, 1000, seed)) for seed in range(100)]
    assert sum(one.at_least <= true <= one.at_most for one in found) >= 90


def test_intervals_are_narrow_with_many_collisions() -> None:
    """A few per cent: the relative error of a count of 5,000 is 1.4 %."""
    found = support.estimate(draw(np.ones(100), 1000, 0))
    assert found.at_most / found.at_least < 1.1
    assert found.size == pytest.approx(100, rel=0.05)


def test_rate_and_variance_are_those_of_the_pairs() -> None:
    """Against explicit sums over all pairs and triples."""
    samples = torch.tensor([0, 0, 0, 1, 1, 2, 3, 3, 4, 5, 5, 5, 5, 6])
    n = len(samples)
    same = samples[:, None] == samples
    found = support.estimate(same.sum(1) - 1)
    pairs = [bool(same[i, j]) for i, j in itertools.combinations(range(n), 2)]
    assert found.pairs == sum(pairs)
    assert found.rate == pytest.approx(np.mean(pairs))
    both = np.mean([bool(same[i, j] and same[i, k]) for i, j, k in itertools.permutations(range(n), 3)])
    among, p = len(pairs), np.mean(pairs)
    variance = among * p * (1 - p) + n * (n - 1) * (n - 2) * max(both - p * p, 0)
    factor = math.exp(1.959964 * math.sqrt(variance) / found.pairs)
    assert found.low <= p / factor * (1 + 1e-6)
    assert found.high >= p * factor * (1 - 1e-6)


@pytest.mark.parametrize("count", [1, 3, 50])
def test_garwoods_interval_has_its_tails(count: int) -> None:
    low, high = support.poisson_interval(count)
    assert poisson.sf(count - 1, low) == pytest.approx(0.025)
    assert poisson.cdf(count, high) == pytest.approx(0.025)


def test_without_collisions_there_is_only_a_lower_bound() -> None:
    """A sample with λ = 4.74 expected occurrences occurs less than twice with probability (1 + λ) e^-λ = 5 %."""
    found = support.estimate(torch.zeros(1000, dtype=torch.long))
    assert (found.rate, found.low, found.at_most) == (0, 0, math.inf)
    assert found.at_least == pytest.approx((1000 / 4.7439) ** 2, rel=1e-4)
    assert found.size == 1000 * 999 / 2 + 1


def test_equal_samples() -> None:
    found = support.estimate(torch.full((50,), 49))
    assert (found.rate, found.size, found.at_least) == (1, 1, 1)


def test_fields_are_stored_in_a_tensor() -> None:
    found = support.estimate(draw(np.ones(30), 100, 0))
    assert Support.from_tensor(found.tensor()) == found


def pairs_among(samples: np.ndarray) -> torch.Tensor:
    return torch.tensor([(i, j) for i, j in itertools.combinations(range(len(samples)), 2) if samples[i] == samples[j]])


@pytest.mark.parametrize("s", [2, 3, 5, 8])
def test_the_curve_is_the_chance_that_a_subset_has_a_pair(s: int) -> None:
    """Against all subsets of 12 samples with 5 different values."""
    samples = np.random.default_rng(1).integers(5, size=12)
    subsets = list(itertools.combinations(samples, s))
    exact = np.mean([len(set(subset)) < s for subset in subsets])
    first = support.first_collisions(pairs_among(samples), 12, seed=0, orders=4000)
    assert float(support.curve(first, torch.tensor([s]))) == pytest.approx(exact, abs=4 * 0.5 / math.sqrt(4000))


def test_the_birthday_paradox() -> None:
    """With 23 people the probability exceeds one half, and s = 23 implies a support of 365."""
    counts = np.random.default_rng(0).integers(365, size=1000)
    first = support.first_collisions(pairs_among(counts), 1000, seed=0)
    half = support.half_size(first)
    assert half == pytest.approx(23, abs=2)
    assert support.implied_support(half) == pytest.approx(365, rel=0.2)
    assert support.implied_support(1000) == pytest.approx(0.72 * 1000**2, rel=0.01)


def test_without_pairs_there_is_no_collision() -> None:
    first = support.first_collisions(torch.empty(0, 2, dtype=torch.long), 10, seed=0)
    assert support.half_size(first) == math.inf
    assert support.curve(first, torch.tensor([2, 10])).tolist() == [0, 0]


def test_verdicts() -> None:
    few, many = support.estimate(draw(np.ones(50), 1000, 0)), support.estimate(draw(np.ones(100_000), 1000, 0))
    assert support.verdict(few, many).startswith("collapsed: effective support ")
    assert support.verdict(many, many).startswith("no collapse seen")
    assert support.verdict(many, few).startswith("no collapse seen")
    assert support.verdict(few, few).startswith("no collapse seen")
    assert support.verdict(few, many, "too blurred") == "no verdict: too blurred"
    # a tenth less than real images is not a collapse
    assert support.verdict(support.estimate(draw(np.ones(45), 1000, 1)), few).startswith("no collapse seen")
