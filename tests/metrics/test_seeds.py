from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.metrics.seeds import over_seeds


def card(metric: str, value: float, **changes: object) -> ScoreCard:
    plain = ScoreCard(
        metric=metric, value=value, n=10, splits=None, reference="a", features="random", features_version="1",
        resize="none", ema=True, batchnorm="none", labels="none", seed=0, images_seen=1, generator_updates=1,
        seconds=2.0, revision="x",
    )  # fmt: skip
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def test_mean_and_sample_deviation_are_numpys() -> None:
    values = np.array([[1.0, 2.0, 6.0], [0.1, 0.4, 0.2]])
    runs = [[card("fid", values[0, i]), card("kid", values[1, i], beside={"p": float(i)})] for i in range(3)]
    for merged, own in zip(over_seeds(runs), values, strict=True):
        assert merged.value == pytest.approx(own.mean())
        assert merged.interval == pytest.approx((own.mean() - own.std(ddof=1), own.mean() + own.std(ddof=1)))
        assert merged.seconds == 6.0
    assert over_seeds(runs)[1].beside == {"p": 1.0}


def test_cards_of_one_seed_are_unchanged() -> None:
    only = [card("is", 3.0, interval=(2.5, 3.5))]
    assert over_seeds([only]) == only


def test_a_score_missing_for_one_seed_has_no_mean_and_notes_are_kept() -> None:
    runs = [[card("a", 1.0, note="x"), card("b", 1.0)], [card("a", 3.0, note="y")]]
    (merged,) = over_seeds(runs)
    assert (merged.metric, merged.value, merged.note) == ("a", 2.0, "x; y")
