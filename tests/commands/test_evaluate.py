from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from saddlepoint.tracking.run_directory import read_json_lines


@pytest.fixture
def evaluate(invoke: Any, trained: Path, tmp_path: Path) -> Any:
    """Evaluate the last checkpoint, and return the cards by metric."""

    def run(*arguments: str) -> dict[str, dict[str, Any]]:
        (tmp_path / "cards.jsonl").unlink(missing_ok=True)
        checkpoint = trained / "checkpoints" / "last.ckpt"
        outcome = invoke("evaluate", f"checkpoint={checkpoint}", "out=cards.jsonl", *arguments)
        assert outcome.code == 0, outcome.err
        return {card["metric"]: card for card in read_json_lines(tmp_path / "cards.jsonl")}

    return run


def values(cards: dict[str, dict[str, Any]]) -> dict[str, float]:
    return {metric: card["value"] for metric, card in cards.items()}


def test_the_same_data_by_name_gives_the_same_scores(evaluate: Any) -> None:
    """Computed from the data set, or read from the checkpoint: one number."""
    alone, named = evaluate(), evaluate("data=digits", "features=classifier", "n=64")
    assert values(named) == pytest.approx(values(alone), rel=1e-9)
    assert named["fid_classifier"]["reference"] == alone["fid_classifier"]["reference"]


def test_other_features_give_scores_of_another_name(evaluate: Any) -> None:
    cards = evaluate("features=random", "n=64")
    assert {"fid_random", "kid_random"} <= cards.keys()
    assert not any("classifier" in metric for metric in cards)


def test_what_is_asked_for_stands_on_the_cards(evaluate: Any) -> None:
    cards = evaluate("n=100", "seed=5", "ema=false", "metrics=[fid]", "splits=2")
    assert list(cards) == ["fid_classifier"]
    card = cards["fid_classifier"]
    assert (card["n"], card["seed"], card["ema"], card["images_seen"]) == (100, 5, False, 300)
    assert card["value"] != evaluate("n=100", "seed=6", "ema=false", "metrics=[fid]")["fid_classifier"]["value"]
    assert card["value"] != evaluate("n=100", "seed=5", "ema=true", "metrics=[fid]")["fid_classifier"]["value"]


def test_another_n_leaves_out_what_the_checkpoint_cannot_judge(evaluate: Any, invoke: Any, trained: Path) -> None:
    """The kept threshold is a quantile of 64 images' nearest neighbours: among 100 samples more lie below it."""
    bound = {"duplicates_classifier", "support_pixels", "precision_classifier", "coverage_classifier"}
    assert bound <= evaluate().keys()
    cards = evaluate("n=100")
    assert {"fid_classifier", "kid_classifier"} <= cards.keys()
    assert not bound & cards.keys()
    assert bound <= evaluate("n=100", "data=digits", "features=classifier").keys()
    checkpoint = f"checkpoint={trained / 'checkpoints' / 'last.ckpt'}"
    for metric in ("duplicates", "recall"):
        outcome = invoke("evaluate", checkpoint, "n=100", f"metrics=[{metric}]")
        assert outcome.code == 2
        assert f"metric '{metric}' compares with as many real images as samples" in outcome.err
        assert "n=64" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("data=digits", "+data.foo=1"), "unknown key 'data.foo'"),
        (("data=digits", "data.flip=maybe"), "data.flip='maybe'"),
        (("data=digits", "features=random", "+features.foo=1"), "unknown key 'features.foo'"),
        (("data=gaussians", "samples=images.zip"), "are points, and samples=images.zip holds none"),
    ],
)
def test_mistakes_in_what_is_held_against_are_one_line(invoke: Any, arguments: tuple[str, ...], named: str) -> None:
    outcome = invoke("evaluate", *arguments)
    assert outcome.code == 2
    assert named in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_scores_land_beside_the_run_by_default(invoke: Any, tiny: tuple[str, ...], tmp_path: Path) -> None:
    assert invoke("train", *tiny, "features=random", "logger=none", "run.dir=run").code == 0
    before = read_json_lines(tmp_path / "run" / "scores.jsonl")
    assert invoke("evaluate", "checkpoint=run").code == 0
    after = read_json_lines(tmp_path / "run" / "scores.jsonl")
    assert after[: len(before)] == before
    assert {card["checkpoint"] for card in after[len(before) :]} == {"best.ckpt"}
