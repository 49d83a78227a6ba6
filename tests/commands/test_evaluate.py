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


def test_scores_land_beside_the_run_by_default(invoke: Any, tiny: tuple[str, ...], tmp_path: Path) -> None:
    assert invoke("train", *tiny, "features=random", "logger=none", "run.dir=run").code == 0
    before = read_json_lines(tmp_path / "run" / "scores.jsonl")
    assert invoke("evaluate", "checkpoint=run").code == 0
    after = read_json_lines(tmp_path / "run" / "scores.jsonl")
    assert after[: len(before)] == before
    assert {card["checkpoint"] for card in after[len(before) :]} == {"best.ckpt"}
