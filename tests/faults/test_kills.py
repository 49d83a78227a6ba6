"""kill -9 during a step or a save: the resumed run ends with the same bits as an uninterrupted one."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from saddlepoint.tracking.checkpoints import load, load_newest

MODELS = {
    "dcgan": ("model=dcgan",),
    "wgan_gp": ("model=wgan_gp", "network.generator.width=4"),
    "sngan": ("model=sngan",),
    "wgan_gp on two ranks": ("model=wgan_gp", "network.generator.width=4", "trainer=ddp", "trainer.accelerator=cpu"),
}
ROUNDS_BETWEEN_KILLS = 12


def kill_at_a_random_step(process: Any, run: Path, before: int | None, draw: random.Random) -> None:
    """Kill the run after 1 to 12 rounds, at a random point within a round."""
    history = run / "history.jsonl"

    def inode() -> int | None:
        return history.stat().st_ino if history.exists() else None

    def rows() -> int:
        return history.read_bytes().count(b"\n")

    process.until(lambda: inode() not in (None, before))  # a resumed run replaces the file
    goal = rows() + draw.randint(1, ROUNDS_BETWEEN_KILLS)
    process.until(lambda: rows() >= goal)
    time.sleep(draw.uniform(0, 0.01))
    process.send(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert process.no_orphans()


def history(user: Any, run: Path) -> dict[int, dict[str, Any]]:
    """Return a run's losses and scores by images seen, without times."""
    merged: dict[int, dict[str, Any]] = {}
    for row in user.rows(run):
        timeless = {k: v for k, v in row.items() if k not in ("seconds", "images_per_second", "evaluation_seconds")}
        merged.setdefault(row["images_seen"], {}).update(timeless)
    return merged


def assert_kills_change_nothing(user: Any, arguments: tuple[str, ...], kills: int, tiny: bool = False) -> None:
    """Kill and resume a run ``kills`` times, and compare it with an uninterrupted run.

    ``tiny`` says that the arguments make the run small by themselves; otherwise :attr:`User.tiny` is added.
    """
    a_round = 32 if "trainer=ddp" in arguments else 16
    images = a_round * (ROUNDS_BETWEEN_KILLS + 6) * (kills + 1)
    small = () if tiny else user.tiny
    command = (*arguments, *small, f"budget.images={images + 7}", "callbacks.checkpoints.every_images=50")
    user.finish(*command, "run.dir=alone", seconds=600)
    run, draw = user.folder / "killed", random.Random(0)
    for _ in range(kills):
        before = (run / "history.jsonl").stat().st_ino if run.exists() else None
        process = user.start(*command, "run.dir=killed", "resume=auto")
        kill_at_a_random_step(process, run, before, draw)
    user.finish(*command, "run.dir=killed", "resume=auto", seconds=600)
    assert user.fingerprint(run) == user.fingerprint(user.folder / "alone")
    # The history too, except for losses of players that have had no turn since the last start.
    alone, killed = history(user, user.folder / "alone"), history(user, run)
    for images_seen, row in killed.items():
        assert row == {key: alone[images_seen][key] for key in row}
    # The row of the last saved round may be missing.
    assert len(killed) >= len(alone) - kills


@pytest.mark.slow
def test_killed_twice(user: Any) -> None:
    assert_kills_change_nothing(user, MODELS["dcgan"], 2)


def test_other_games_killed_once(user: Any, other_game: tuple[str, ...]) -> None:
    """CycleGAN's pools too, which are full by then and exchange images."""
    assert_kills_change_nothing(user, other_game, 1, tiny=True)
    state = load(user.folder / "killed" / "checkpoints" / "last.ckpt")["state_dict"]
    if other_game[0] == "model=cyclegan":
        assert [state[f"pools.{domain}.count"].item() for domain in ("a", "b")] == [50, 50]
        assert all(image.any() for domain in ("a", "b") for image in state[f"pools.{domain}.images"])


@pytest.mark.slow
def test_other_games_killed_twice_on_two_ranks(user: Any, other_game: tuple[str, ...]) -> None:
    ranks = ("trainer=ddp", "trainer.accelerator=cpu", "batch_size=8")
    assert_kills_change_nothing(user, (*other_game, *ranks), 2, tiny=True)


@pytest.mark.slow
@pytest.mark.parametrize("loader", ["memory", "workers"])
@pytest.mark.parametrize("model", MODELS)
def test_killed_at_twenty_random_steps(user: Any, model: str, loader: str) -> None:
    assert_kills_change_nothing(user, (*MODELS[model], f"data.loader={loader}"), 20)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["dcgan", "wgan_gp"])
def test_killed_and_compiled(user: Any, model: str) -> None:
    """A second process compiles to the same machine code."""
    assert_kills_change_nothing(user, (*MODELS[model], "compile=true"), 2)


@pytest.mark.slow
def test_a_part_with_a_state_resumes_without_code_of_its_own(user: Any, faulty: tuple[str, ...]) -> None:
    """A loss that depends on a buffer, which counts its calls."""
    assert_kills_change_nothing(user, (*faulty, "loss.kind=stateful", "optimizer.schedule=cosine"), 1)


STATES: dict[str, tuple[tuple[str, ...], dict[str, float]]] = {
    "dcgan": (
        (
            "augment=[ada,instance_noise]",
            "augment.ada.images=2000",
            "augment.instance_noise.decay_images=2000",
            "regularizer=[lecam,historical_averaging]",
        ),
        {
            "augments.ada.probability": 0.0,
            "augments.instance_noise.images": 0.0,
            "regularizers.lecam.started": False,
            "regularizers.historical_averaging.turns": 0.0,
        },
    ),
    "began": (
        ("model=began", "loss.rate=0.1", "regularizer=[path_length]"),
        {"loss.k": 0.0, "regularizers.path_length.average": 0.0},
    ),
}
"""For each model, the overrides and the states in its checkpoint, with their initial values."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dcgan", pytest.param("began", marks=pytest.mark.slow)])
def test_every_part_with_a_state_resumes_to_the_bit(user: Any, name: str) -> None:
    command, untouched = STATES[name]
    assert_kills_change_nothing(user, command, 1)
    state = load(user.folder / "killed" / "checkpoints" / "last.ckpt")["state_dict"]
    for key, at_first in untouched.items():
        assert state[key].item() != at_first, key


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "the temporary file appears": lambda folder: any(folder.glob(".last.ckpt.*.tmp")),
    "it has grown": lambda folder: any(_size(file) > 1_000_000 for file in folder.glob(".last.ckpt.*.tmp")),
    "the last one has become the previous": lambda folder: not (folder / "last.ckpt").exists(),
    "the new one is there without its digest": lambda folder: (
        (folder / "last.ckpt").exists() and not (folder / "last.ckpt.sha256").exists()
    ),
}


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


@pytest.mark.slow
def test_killed_in_the_middle_of_a_save(user: Any) -> None:
    """With TMPDIR on another file system, if there is one."""
    run, folder = user.folder / "run", user.folder / "run" / "checkpoints"
    shared = Path("/dev/shm")
    elsewhere = {"TMPDIR": str(shared)} if shared.is_dir() else {}
    large = ["network=mlp", "network.width=1200", "data.loader=memory", "callbacks.checkpoints.every_images=32"]
    command = (*user.tiny, "network=mlp", *large, user.long, "run.dir=run", "resume=auto")
    for arrived in MOMENTS.values():
        process = user.start(*command, environment=elsewhere)
        started = time.time()
        previous = folder / "previous.ckpt"
        process.until(lambda: previous.exists() and previous.stat().st_mtime > started)  # noqa: B023
        process.until(lambda: arrived(folder), poll=0)  # noqa: B023
        process.send(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        path, checkpoint = load_newest(folder)
        assert load(path)["progress"]["images_seen"] == checkpoint["progress"]["images_seen"] > 0
        assert checkpoint["progress"]["images_seen"] >= user.rows(run)[-1]["images_seen"] - 2 * 32
    resumed = user.start(*command, environment=elsewhere)
    rows = len(user.rows(run))
    resumed.until(lambda: len(user.rows(run)) > rows + 2)
    assert resumed.code() is None
