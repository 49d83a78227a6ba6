"""A number and everything that it depends on. A number without its card is not logged."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saddlepoint.errors import UserError


@dataclass(frozen=True)
class ScoreCard:
    """One score with the settings that would change it.

    Attributes:
        metric: the score's name, such as ``fid`` (Inception's) or ``fid_classifier``.
        value: the finite number.
        n: generated samples that it rests on.
        splits: parts or subsets that it is a mean over, or None.
        reference: what it is measured against: data, split, its size and the fingerprint's first 8 digits.
        features: the extractor's name, ``pixels`` or ``none``.
        features_version: the extractor's version, which names its weights.
        resize: the kernel that fits images to the extractor, or ``none``.
        ema: whether the averaged generator was judged, not the raw one; None of images from files, which do not say.
        batchnorm: ``running`` or ``batch`` statistics, ``none`` without such layers; ``unknown`` of images from files.
        labels: distribution of the labels that were asked for: ``none``, ``uniform``, ``train``, ``unknown``.
        seed: of latents and of every subset.
        images_seen: the run's progress at that moment.
        generator_updates: likewise.
        seconds: wall-clock time of sampling, features and this metric.
        revision: git revision of the code.
        interval: the value minus and plus one standard deviation over the splits, or over the seeds of ``seeds=``; of a
            support, 95 %; or None.
        real: the same figure for real held-out images, or None.
        real_n: how many held-out images that rests on: n, or fewer where the split is smaller.
        beside: further numbers that the value must be read with, such as what chance alone would score; or None.
        note: what the value means, or why it means nothing here, in one sentence; or None.
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

    def __post_init__(self) -> None:
        numbers = [self.value, self.seconds, *(self.interval or ()), *([] if self.real is None else [self.real])]
        numbers += (self.beside or {}).values()
        if not all(math.isfinite(number) for number in numbers):
            raise FloatingPointError(f"{self.metric} is {self.value}: a score card holds finite numbers only")

    @property
    def real_shown(self) -> str:
        """What tables show beside the value: the real figure, with its n where that is another than the value's."""
        if self.real is None:
            return ""
        return short(self.real) + (f" (n={self.real_n:,})" if self.real_n not in (None, self.n) else "")

    def to_json(self) -> str:
        """Return the card as one line of JSON, its fields in their order."""
        return json.dumps(dataclasses.asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> ScoreCard:
        """Read :meth:`to_json`'s line.

        Raises:
            UserError: the line is no score card of this version.
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
    """Return a score as tables show it.

    >>> short(12345.6), short(0.123456)
    ('12,346', '0.1235')
    """
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
