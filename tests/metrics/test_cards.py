"""Score cards are complete and finite, and written in one line."""

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


@pytest.mark.parametrize(
    ("real", "real_n", "shown"), [(1.0, 360, "1 (n=360)"), (0.52345678, 1000, "0.5235"), (None, None, "")]
)
def test_another_n_is_shown_with_the_real_figure(real: float | None, real_n: int | None, shown: str) -> None:
    assert dataclasses.replace(CARD, real=real, real_n=real_n).real_shown == shown


@pytest.mark.parametrize("changed", [{"value": float("nan")}, {"value": float("inf")}, {"real": float("nan")}])
def test_values_that_are_not_finite_are_refused(changed: dict[str, float]) -> None:
    with pytest.raises(FloatingPointError, match="fid_classifier"):
        dataclasses.replace(CARD, **changed)


@pytest.mark.parametrize("line", ["", "{}", "[1]", '{"metric": "fid"}', "not json"])
def test_other_lines_are_refused(line: str) -> None:
    with pytest.raises(UserError) as caught:
        ScoreCard.from_json(line)
    assert caught.value.problem.startswith("not a score card")


def test_cards_written_before_a_field_was_added_are_read() -> None:
    old = json.loads(CARD.to_json())
    assert old.pop("bound") is None
    assert old.pop("binarisation") is None
    assert ScoreCard.from_json(json.dumps(old)) == CARD


def test_likelihoods_and_pairs_have_cards() -> None:
    likelihood = dataclasses.replace(
        CARD, metric="nll", value=-3.0, features="none", features_version="none", bound="iwae", binarisation="static"
    )
    pairs = dataclasses.replace(
        CARD, metric="psnr_a_to_b", features="pixels", features_version="1", reference="facades/held_out:100@01234567"
    )
    for card in (likelihood, pairs):
        assert ScoreCard.from_json(card.to_json()) == card
    assert json.loads(likelihood.to_json())["bound"] == "iwae"
    assert json.loads(pairs.to_json())["bound"] is None
