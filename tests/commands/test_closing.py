"""The summary printed at the end of a run."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest


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
