from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from saddlepoint.commands import evaluate as command
from saddlepoint.evaluation.sets import SetJudge
from saddlepoint.writing import read_json_lines


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
    """Real statistics computed from the data set give the same scores as those in the checkpoint."""
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
    """The threshold in the checkpoint is for 64 samples: among 100, more nearest neighbours are below it."""
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
        assert f"n: metric '{metric}' needs as many real images as samples" in outcome.err
        assert "n=64" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("data=digits", "+data.foo=1"), "data.foo: unknown key"),
        (("data=digits", "data.flip=maybe"), "data.flip: input should be a valid boolean"),
        (("data=digits", "features=random", "+features.foo=1"), "features.foo: unknown key"),
        (("data=gaussians", "samples=images.zip"), "is a data set of points, and images.zip contains none"),
    ],
)
def test_mistakes_in_what_is_held_against_are_one_line(invoke: Any, arguments: tuple[str, ...], named: str) -> None:
    outcome = invoke("evaluate", *arguments)
    assert outcome.code == 2
    assert named in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_a_requested_score_that_the_model_cannot_have_is_named(refuse: Callable[..., str], trained: Path) -> None:
    line = refuse("evaluate", f"checkpoint={trained}", "data=digits", "metrics=[cas]", "out=x.jsonl")
    assert line == "metrics: none of cas applies to this model and data; leave it out"


def test_features_in_two_dimensions(invoke: Any, refuse: Any, trained: Path, tmp_path: Path) -> None:
    options = (f"checkpoint={trained}", "out=x.jsonl", "metrics=[fid]", "embedding=tsne")
    assert refuse("evaluate", *options) == "embedding: it shows a data set's images; add data=NAME"
    line = refuse("evaluate", *options, "data=digits", "truncation=[0.5,1]")
    assert line == "embedding: it is for one truncation; leave it out"
    outcome = invoke("evaluate", *options, "data=digits", "features=random", "n=64")
    assert outcome.code == 0, outcome.err
    assert {path.name for path in tmp_path.iterdir()} == {"x.jsonl", "x_tsne.png"}


def test_scores_land_beside_the_run_by_default(invoke: Any, tiny: tuple[str, ...], tmp_path: Path) -> None:
    assert invoke("train", *tiny, "features=random", "logger=none", "run.dir=run").code == 0
    before = read_json_lines(tmp_path / "run" / "scores.jsonl")
    assert invoke("evaluate", "checkpoint=run").code == 0
    after = read_json_lines(tmp_path / "run" / "scores.jsonl")
    assert after[: len(before)] == before
    assert {card["checkpoint"] for card in after[len(before) :]} == {"best.ckpt"}
    assert invoke("evaluate", "checkpoint=run", "out=all.jsonl").code == 0  # a file shared by several runs
    assert {card["checkpoint"] for card in read_json_lines(tmp_path / "all.jsonl")} == {"run/checkpoints/best.ckpt"}


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("missing/x.jsonl", "missing/x.jsonl: No such file or directory"),
        ("folder", "folder: Is a directory"),
        ("notes.txt/x.jsonl", "notes.txt/x.jsonl: Not a directory"),
        ("/proc/x.jsonl", "/proc/x.jsonl: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_written_is_found_out_before_scoring(
    refuse: Callable[..., str],
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    out: str,
    said: str,
) -> None:
    monkeypatch.setattr(SetJudge, "score", lambda *_: pytest.fail("scored for nothing"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes.txt").touch()
    line = refuse("evaluate", f"checkpoint={trained}", f"out={out}")
    assert line == f"cannot write to {said}; set out to a file that can be written"


def test_where_scoring_fails_no_empty_file_is_left(
    refuse: Callable[..., str], trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise FloatingPointError("fid is nan")

    monkeypatch.setattr(SetJudge, "score", fail)
    (tmp_path / "old.jsonl").write_text('{"value": 1}\n')
    (tmp_path / "link.jsonl").symlink_to("nowhere.jsonl")
    for out in ("new.jsonl", "old.jsonl", "link.jsonl"):
        assert "fid is nan; choose an earlier checkpoint" in refuse("evaluate", f"checkpoint={trained}", f"out={out}")
    assert (tmp_path / "old.jsonl").read_text() == '{"value": 1}\n'


def test_a_disk_that_fills_up_takes_no_score_away(
    refuse: Callable[..., str], invoke: Any, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table is printed although the file cannot be written."""

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(command, "append_json_line", full)
    outcome = invoke("evaluate", f"checkpoint={trained}", "metrics=[fid]", "out=cards.jsonl")
    assert outcome.code == 2
    assert "fid_classifier" in outcome.out
    assert "appended" not in outcome.out
    said = "cannot write to cards.jsonl: No space left on device; set out to a file that can be written"
    assert outcome.err == f"error: {said}\n"


def test_the_jobs_of_a_sweep_append_to_one_file_and_keep_their_pictures(
    invoke: Any, trained: Path, tmp_path: Path
) -> None:
    outcome = invoke("evaluate", "-m", f"checkpoint={trained}", "seed=1,2", "metrics=[fid,duplicates]", "out=x.jsonl")
    assert outcome.code == 0, outcome.err
    cards = read_json_lines(tmp_path / "x.jsonl")
    assert [card["seed"] for card in cards if card["metric"] == "fid_classifier"] == [1, 2]
    names = {path.name for path in tmp_path.iterdir()}
    pictures = {name.removeprefix("x_0_") for name in names if name.startswith("x_0_")}
    assert pictures
    assert names == {"x.jsonl"} | {f"x_{job}_{name}" for job in (0, 1) for name in pictures}
