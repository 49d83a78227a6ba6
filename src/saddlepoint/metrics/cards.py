"""Score cards: a score with everything that it depends on. Scores are logged only as cards."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from saddlepoint.errors import UserError

Bound = Literal["elbo", "iwae", "exact"]
"""What a likelihood score is: the evidence lower bound, the importance-weighted bound (Burda et al. 2016,
arXiv:1509.00519), or the exact log-likelihood."""

REAL = "real/"
"""Prefix of the name under which the value of real images is logged beside a score: ``real/fid``."""
BEST = "_best"
"""Suffix of the name under which the best value so far of the monitored score is logged: ``fid_best``."""


@dataclass(frozen=True)
class ScoreCard:
    """One score with the settings that it depends on.

    Attributes:
        metric: the score's name, such as ``fid`` (Inception's) or ``fid_classifier``.
        value: the finite number.
        n: number of generated samples, or of pairs, that it was computed from.
        splits: number of parts or subsets that it is a mean over, or None.
        reference: what it is measured against: data, split, size and the first 8 digits of the fingerprint; for pairs,
            the split that the targets are from.
        features: the extractor's name; ``pixels`` for scores computed from pixels, as those of pairs are; or ``none``.
        features_version: the extractor's version, which identifies its weights.
        resize: the kernel that resizes images for the extractor, or ``none``.
        ema: whether the averaged model was scored rather than the raw one; None for images from files, where it is not
            known.
        batchnorm: ``running`` or ``standing`` statistics, ``none`` without such layers; ``unknown`` for images from
            files.
        labels: distribution of the labels that samples were conditioned on: ``none``, ``uniform``, ``train``,
            ``unknown``.
        seed: of latents and of every subset.
        images_seen: the run's progress when it was scored.
        generator_updates: likewise.
        seconds: wall-clock time of sampling, features and this metric.
        revision: git revision of the code.
        interval: the value minus and plus one standard deviation over the splits, or over the seeds of ``seeds=``; a
            95 % interval for a support; or None.
        real: the same score of real held-out images, or None.
        real_n: number of held-out images in ``real``: n, or fewer where the split is smaller.
        beside: further numbers needed to interpret the value, such as the expected score of chance; or None.
        note: the value's interpretation, or why it has none, in one sentence; or None.
        bound: for a likelihood, the quantity that was computed; None for other scores.
        binarisation: for a likelihood of discrete pixels, how binary images were made, such as ``static``, or that the
            pixels have 256 intensities; None for densities.
        truncation: truncation of the latents, below 1; None without truncation, and for images from files.
    """

    metric: str
    value: float
    n: int
    splits: int | None
    reference: str
    features: str
    features_version: str
    resize: str
    ema: bool | None
    batchnorm: str
    labels: str
    seed: int
    images_seen: int
    generator_updates: int
    seconds: float
    revision: str
    interval: tuple[float, float] | None = None
    real: float | None = None
    real_n: int | None = None
    beside: Mapping[str, float] | None = None
    note: str | None = None
    bound: Bound | None = None
    binarisation: str | None = None
    truncation: float | None = None

    def __post_init__(self) -> None:
        numbers = [self.value, self.seconds, *(self.interval or ()), *([] if self.real is None else [self.real])]
        numbers += (self.beside or {}).values()
        if not all(math.isfinite(number) for number in numbers):
            raise FloatingPointError(f"{self.metric} is {self.value}: the numbers on a score card must be finite")

    @property
    def real_shown(self) -> str:
        """The real score as shown in tables, with its n if that differs from the value's."""
        if self.real is None:
            return ""
        return short(self.real) + (f" (n={self.real_n:,})" if self.real_n not in (None, self.n) else "")

    def to_json(self) -> str:
        """Return the card as one line of JSON."""
        return json.dumps(dataclasses.asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Return the card of a :meth:`to_json` line; fields that were added since it was written get their defaults.

        Raises:
            UserError: the line is not a score card.
        """
        try:
            fields: dict[str, Any] = json.loads(line)
            if fields.get("interval") is not None:
                low, high = fields["interval"]
                fields["interval"] = (float(low), float(high))
            return cls(**fields)
        except (ValueError, TypeError, AttributeError) as error:
            raise UserError(f"not a score card ({error}): {line[:80]!r}") from error


def short(value: float) -> str:
    """Return a score formatted for tables.

    >>> short(12345.6), short(0.123456)
    ('12,346', '0.1235')
    """
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
