"""A sweep whose process is killed, and which is then resumed."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

NAMES = [f"{i}_dcgan_digits_seed{i}" for i in range(3)]


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.slow
def test_a_killed_sweep_is_resumed_to_the_same_bits(user: Any) -> None:
    """The first job has finished, the second is killed between two checkpoints, the third has not begun."""
    line = ("-m", "seed=0,1,2", *user.tiny, "budget.images=1607", "callbacks.checkpoints.every_images=300")
    user.finish(*line, "hydra.sweep.dir=alone", seconds=600)
    process = user.start(*line, "hydra.sweep.dir=killed")
    alone, killed = user.folder / "alone", user.folder / "killed"
    history = killed / NAMES[1] / "history.jsonl"
    process.until(lambda: history.exists() and history.read_bytes().count(b"\n") > 50, seconds=300)
    process.send(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    first = files(killed / NAMES[0])
    assert (killed / NAMES[1] / "checkpoints" / "last.ckpt").exists()
    assert not (killed / NAMES[1] / "summary.json").exists()
    assert not (killed / NAMES[2]).exists()

    resumed = user.finish("sweep.resume=killed", seconds=600)
    assert files(killed / NAMES[0]) == first
    assert sorted(path.name for path in killed.iterdir() if path.is_dir()) == NAMES
    for name in NAMES:
        assert user.fingerprint(killed / name) == user.fingerprint(alone / name)
        images = [row["images_seen"] for row in user.rows(killed / name)]
        assert images == sorted(set(images))
    assert [line.split()[:2] for line in resumed.out.splitlines()[-3:]] == [[f"{i}", f"seed={i}"] for i in range(3)]
    assert "job 0 has finished before" in resumed.err


@pytest.mark.slow
def test_ctrl_c_stops_the_sweep_and_says_how_to_resume_it(user: Any) -> None:
    process = user.start("-m", "seed=0,1", *user.tiny, user.long, "hydra.sweep.dir=sweep")
    history = user.folder / "sweep" / NAMES[0] / "history.jsonl"
    process.until(lambda: history.exists() and history.read_bytes().count(b"\n") > 5)
    process.send(signal.SIGINT)
    assert process.wait() == 130
    assert process.err.splitlines()[-1] == (
        "the sweep was stopped; continue with: saddlepoint train sweep.resume=sweep"
    )
    assert not (user.folder / "sweep" / NAMES[1]).exists()
