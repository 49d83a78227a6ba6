"""Score cards: complete, one line, finite."""

import dataclasses
import json

import pytest

from saddlepoint.errors import UserError
from saddlepoint.metrics.cards import ScoreCard

CARD = ScoreCard(
    metric="fid_classifier", value=3.25, n=1000, splits=None, reference="digits/train:1437@01234567",
    features="classifier", features_version="1-abcd", resize="none", ema=True, batchnorm="running", labels="uniform",
    seed=0, images_seen=64_000, generator_updates=1000, seconds=1.5, revision="abc", interval=(3.0, 3.5), real=1.0,
    real_n=360,
)  # fmt: skip


def test_round_trip_in_one_line() -> None:
    line = CARD.to_json()
    assert "\n" not in line
    assert ScoreCard.from_json(line) == CARD
    assert set(json.loads(line)) == {field.name for field in dataclasses.fields(ScoreCard)}


@pytest.mark.parametrize("changed", [{"value": float("nan")}, {"value": float("inf")}, {"real": float("nan")}])
def test_numbers_that_are_none_are_refused(changed: dict[str, float]) -> None:
    with pytest.raises(FloatingPointError, match="fid_classifier"):
        dataclasses.replace(CARD, **changed)


@pytest.mark.parametrize("line", ["", "{}", "[1]", '{"metric": "fid"}', "not json"])
def test_other_lines_are_no_cards(line: str) -> None:
    with pytest.raises(UserError, match="not a score card"):
        ScoreCard.from_json(line)
