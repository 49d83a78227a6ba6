"""The summary printed at the end of a run."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from saddlepoint.commands.closing import print_table
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.systems.progress import Progress
from saddlepoint.tracking.record import RunRecord


def ends(out: str) -> tuple[list[str], list[str]]:
    """Return the printed contents of the run's folder and the printed command that samples from it."""
    held, said = out.splitlines()[-2:]
    return held.partition(" holds ")[2].split(", "), shlex.split(said.removeprefix("sample from it:"))


@pytest.mark.parametrize("features", ["none", "random"])
def test_the_end_lists_what_there_is(invoke: Any, tiny: tuple[str, ...], tmp_path: Path, features: str) -> None:
    folder = "my [own] run"
    outcome = invoke("train", *tiny, "network=mlp", f"features={features}", "logger=none", f"run.dir='{folder}'")
    assert outcome.code == 0, outcome.err
    held, command = ends(outcome.out)
    there = {path.name + "/" * path.is_dir() for path in (tmp_path / folder).iterdir()}
    assert set(held) == there
    assert len(held) == len(there)
    assert ("scores.jsonl" in held) == (features == "random")
    assert {"samples/", "checkpoints/", "history.jsonl", "config.yaml"} <= set(held)
    best = "best" if features == "random" else "last"
    assert command[2:] == [f"checkpoint={folder}/checkpoints/{best}.ckpt", "n=64"]


@pytest.mark.parametrize(
    ("program", "said"),
    [("/home/me/train.py", ["python", "sample.py"]), ("/usr/bin/saddlepoint", ["saddlepoint", "sample"])],
)
def test_the_command_is_the_one_that_the_user_has(
    invoke: Any, tiny: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, program: str, said: list[str]
) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "__file__", program, raising=False)
    outcome = invoke("train", *tiny, "network=mlp", "features=none", "logger=none", "run.dir=run")
    assert outcome.code == 0, outcome.err
    assert ends(outcome.out)[1] == [*said, "checkpoint=run/checkpoints/last.ckpt", "n=64"]


def card(metric: str, value: float, images_seen: int, **more: Any) -> ScoreCard:
    about = {"n": 1000, "splits": None, "reference": "x", "features": "f", "features_version": "1", "resize": "none"}
    about |= {"ema": True, "batchnorm": "none", "labels": "none", "seed": 0, "generator_updates": 0, "seconds": 0.0}
    return ScoreCard(**{"metric": metric, "value": value, "images_seen": images_seen, "revision": "r", **about, **more})


def test_the_table_is_grouped_and_holds_twelve_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["density", "class_kl", "sharpness_gap", "kid", "nearest_train", "recall", "precision", "is", "coverage"]
    names += [
        "modes",
        "memorised",
        "duplicates_pixels",
        "support_pixels",
        "class_support",
        "mode_kl",
        "intra_fid",
        "fid",
    ]
    record = RunRecord(tmp_path, monitor="fid_classifier")
    for place, name in enumerate(names):
        full = name if name.endswith("pixels") else f"{name}_classifier"
        record.first[full] = card(full, 100.0 + place, 0)
        record.latest[full] = card(full, float(place), 128, real=0.5)
    record.best = card("fid_classifier", 12.5, 64)
    system: Any = SimpleNamespace(progress=Progress(images_seen=128, generator_updates=2, seconds=4.0))
    print_table(record, system)
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["score", "untrained", "last", "best", "real"]
    words = [row.split() for row in rows[:15]]
    assert [row[0].removesuffix("_classifier") for row in words] == [
        *("quality", "fid", "is", "kid", "precision"),
        *("variety", "recall", "coverage", "modes", "duplicates_pixels", "support_pixels", "class_kl"),
        *("memorisation", "nearest_train", "memorised"),
    ]  # fmt: skip
    assert words[1] == ["fid_classifier", "116", "16", "12.5", "at", "64", "0.5"]
    assert words[2] == ["is_classifier", "107", "7", "0.5"]
    assert rows[15] == "from 1,000 samples; 5 more scores and all details are in scores.jsonl"
    assert max(map(len, [head, *rows[:15]])) <= 80
