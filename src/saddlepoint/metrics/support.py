"""Estimates of the number of different samples of a generator, from the rate of near copies among them.

After the birthday paradox test of Arora and Zhang 2017, arXiv:1706.08224, which looks for the number s of samples that
contain a duplicate with probability one half. Here all pairs are counted. If sample i occurs with probability p_i, two
samples collide with probability Σ p_i². Its inverse is the *effective support*: N for N equally likely samples, less
for unequal ones, and never more than the number of different samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from scipy.stats import chi2, norm
from torch import Tensor

from saddlepoint import randomness

LEVEL = 0.95
"""Confidence level of all intervals in this module."""
COLLAPSE = 2.0
"""Ratio between the collision rates of samples and of real images above which the verdict is "collapsed"."""
ORDERS = 1_000
"""Number of random orders of the samples that the curve is averaged over."""
ENOUGH_PAIRS = 10
"""Minimum number of near pairs for the curve to describe new samples, not only reorderings of these."""
CURVE_PAIRS = 20_000
"""Limit on the near pairs used for the curve; far more than needed, since only the first pair of each order counts."""


@dataclass(frozen=True)
class Support:
    """The collision rate among n samples, and the effective support derived from it.

    Attributes:
        n: number of samples.
        pairs: number of near pairs among them, C.
        rate: C / (n(n-1)/2), the unbiased estimate of Σ p_i².
        low: lower end of the rate's 95 % interval, 0 where C = 0.
        high: its upper end.
    """

    n: int
    pairs: int
    rate: float
    low: float
    high: float

    @property
    def size(self) -> float:
        """The effective support's estimate, (n(n-1)/2 + 1) / (C + 1).

        As in Chapman's mark and recapture estimator (1951), the added ones keep it finite, and nearly unbiased where
        the expected number of collisions is not small.
        """
        return (self.n * (self.n - 1) / 2 + 1) / (self.pairs + 1)

    @property
    def at_least(self) -> float:
        """Lower end of the effective support's 95 % interval."""
        return 1 / self.high

    @property
    def at_most(self) -> float:
        """Upper end of the interval; infinite without a collision."""
        return math.inf if self.low == 0 else 1 / self.low

    def tensor(self) -> Tensor:
        """Return all fields as float64 [5]."""
        return torch.tensor([self.n, self.pairs, self.rate, self.low, self.high], dtype=torch.float64)

    @classmethod
    def from_tensor(cls, values: Tensor) -> Self:
        """Return the support with the fields of :meth:`tensor`."""
        n, pairs, rate, low, high = values.tolist()
        return cls(int(n), int(pairs), rate, low, high)


def estimate(degrees: Tensor) -> Support:
    """Return the collision rate and its interval, estimated from each sample's number of near copies.

    Each end of the interval is the outermost of three intervals, since none of them is valid for all distributions:

    - Garwood's exact Poisson interval for the count C, for equally likely samples. It assumes independent collisions;
      with one frequent sample they are dependent, and its coverage falls to a third.
    - The U-statistic's (Hoeffding 1948), normal for log p₂; valid for more than a few collisions. With P = n(n-1)/2,

          Var C = P p₂ (1 - p₂) + n(n-1)(n-2) (p₃ - p₂²),

      where p₃, the probability that one sample collides with two others, is estimated by the fraction of such triples.
    - One for a frequent sample that occurred only a few times: with m occurrences of the most repeated sample, its
      probability is within Garwood's interval of m divided by n, and contributes its square to p₂.

    Args:
        degrees: long [n], the number of near copies of each of n >= 2 samples among the others.

    Raises:
        ValueError: n < 2.

    >>> found = estimate(torch.tensor([1, 1] + [0] * 98))
    >>> found.pairs, round(found.size), round(found.at_least), round(found.at_most)
    (1, 2476, 192, 195515)
    """
    n = len(degrees)
    if n < 2:
        raise ValueError("a collision rate needs at least 2 samples")
    among = n * (n - 1) / 2
    pairs, most = int(degrees.sum()) // 2, int(degrees.max()) + 1
    rate = pairs / among
    others = rate - most * (most - 1) / (n * (n - 1))
    ends = [
        [end / among for end in poisson_interval(pairs)],
        [max(others, 0.0) + (end / n) ** 2 for end in poisson_interval(most, one_sided=most == 1)],
    ]
    if pairs and n > 2:
        triples = n * (n - 1.0) * (n - 2.0)
        both = float((degrees.double() * (degrees.double() - 1)).sum()) / triples
        variance = among * rate * (1 - rate) + triples * max(both - rate**2, 0.0)
        factor = math.exp(float(norm.ppf((1 + LEVEL) / 2)) * math.sqrt(variance) / pairs)
        ends.append([rate / factor, rate * factor])
    lows, highs = zip(*ends, strict=True)
    return Support(n, pairs, rate, min(lows), min(max(highs), 1.0))


def poisson_interval(count: int, one_sided: bool = False) -> tuple[float, float]:
    """Return Garwood's exact 95 % interval (1936) of a Poisson mean; it starts at 0 if one-sided or if count = 0.

    >>> [round(end, 3) for end in poisson_interval(10)], round(poisson_interval(0)[1], 3)
    ([4.795, 18.39], 2.996)
    """
    if count == 0 or one_sided:
        return 0.0, float(chi2.ppf(LEVEL, 2 * count + 2)) / 2
    tail = (1 - LEVEL) / 2
    return float(chi2.ppf(tail, 2 * count)) / 2, float(chi2.ppf(1 - tail, 2 * count + 2)) / 2


def first_collisions(pairs: Tensor, n: int, seed: int, orders: int = ORDERS) -> Tensor:
    """Return the number of samples drawn until the first near pair is complete, for random orders of n samples.

    Args:
        pairs: long [P, 2], the near pairs among them.
        n: number of samples.
        seed: seeds the orders.
        orders: number of orders.

    Returns:
        Float64 [orders], ascending; infinite if P = 0.
    """
    if len(pairs) == 0:
        return torch.full((orders,), torch.inf, dtype=torch.float64)
    random = randomness.generator("cpu", seed, "orders of drawing")
    found = []
    for _ in range(orders):
        place = torch.randperm(n, generator=random)
        found.append(place[pairs].max(1).values.min() + 1)
    return torch.stack(found).double().sort().values


def curve(first: Tensor, sizes: Tensor) -> Tensor:
    """Return P(a near pair among s samples), float64 [S], for each s of ``sizes``, long [S]."""
    return torch.searchsorted(first, sizes.double(), right=True).double() / len(first)


def half_size(first: Tensor) -> float:
    """Return the number of samples that contain a duplicate with probability one half; infinite if it exceeds n."""
    return float(first[(len(first) - 1) // 2])


def implied_support(s: float) -> float:
    """Return the N for which s of N equally likely samples contain a duplicate with probability one half.

    P(duplicate) = 1 - exp(-s(s-1) / 2N), so N = s(s-1) / (2 ln 2), about 0.72 s². Arora and Zhang round it to s².

    >>> round(implied_support(23))
    365
    """
    return s * (s - 1) / (2 * math.log(2))


def verdict(found: Support, real: Support, mismatch: str | None = None) -> str:
    """Return a sentence on whether samples contain more near copies than real images do.

    Args:
        found: of the samples.
        real: of as many real images, at the same threshold.
        mismatch: why the near copies of samples and of real images are not comparable, if so.

    Returns:
        A sentence that begins with "no verdict", "collapsed" or "no collapse seen". Collapsed means that the lower end
        of the samples' 95 % interval of the collision rate is above twice the upper end of the real images'.
    """
    if mismatch is not None:
        return f"no verdict: {mismatch}"
    if found.low > COLLAPSE * real.high:
        return (
            f"collapsed: effective support {found.at_least:,.0f} to {found.at_most:,.0f} (95 %), "
            f"real images have at least {real.at_least:,.0f}"
        )
    return f"no collapse seen: effective support at least {found.at_least:,.0f} (95 %)"
