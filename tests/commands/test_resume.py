"""Checks of ``resume=`` and ``init_from=`` before anything is written; tests/faults/test_resume.py kills real runs."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from same_bits import hashes

from saddlepoint.errors import UserError
from saddlepoint.tracking.checkpoints import load
from saddlepoint.tracking.run_directory import hold

QUICK = ("network.width=4", "batch_size=4", "features=none", "logger=none", "budget.images=8", "callbacks.samples.n=4")


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of a finished run."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def state(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def picture(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_other_data_are_refused(invoke: Any, refuse: Callable[..., str], tmp_path: Path) -> None:
    """The order of the data is a function of the counters, so other data would give other batches."""
    for index in range(24):
        picture(tmp_path / "data" / "ab"[index % 2] / f"{index}.png", index)
    data = ("data=image_folder", "data.root=data", "data.image_size=8")
    assert invoke("train", *QUICK, *data, "run.dir=run").code == 0
    before = state(tmp_path / "run")
    picture(tmp_path / "data" / "a" / "0.png", 99)
    assert "data differs from the data that run was trained on (fingerprint" in refuse(
        "train", "resume=run", "budget.images=16"
    )
    picture(tmp_path / "data" / "a" / "0.png", 0)
    picture(tmp_path / "data" / "c" / "24.png", 24)  # adds a class
    line = refuse("train", "resume=run", "budget.images=16")
    assert "restore the data, or start a new run from its weights with init_from" in line
    assert state(tmp_path / "run") == before
    (tmp_path / "data" / "c" / "24.png").unlink()
    (tmp_path / "data" / "c").rmdir()
    assert invoke("train", "resume=run", "budget.images=16").code == 0
    (tmp_path / "data").rename(tmp_path / "moved")
    assert "data.root" in refuse("train", "resume=run", "budget.images=24")
    moved = ("data=image_folder", "data.root=moved", "budget.images=24")
    assert "data.image_size: cannot be changed when a run is resumed" in refuse(
        "train", "resume=run", *moved, "data.image_size=16"
    )
    assert "data: cannot be changed when a run is resumed" in refuse(
        "train", "resume=run", "data=digits", "budget.images=24"
    )
    assert invoke("train", "resume=run", *moved).code == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["images_seen"] == 24


def test_a_file_outside_a_run_is_no_run(refuse: Callable[..., str], run: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    shutil.copy(run / "checkpoints" / "last.ckpt", project)
    (project / "config.yaml").write_text("mine: true\n")
    (project / "history.jsonl").write_text('{"images_seen": 10000000}\n')
    before = state(project)
    assert "is not in the folder of a run" in refuse("train", "resume=project/last.ckpt", "budget.images=600")
    assert state(project) == before


def test_a_checkpoint_is_its_runs_however_it_is_named(
    invoke: Any, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link.ckpt").symlink_to(run / "checkpoints" / "last.ckpt")
    for images, name in ((400, str(tmp_path / "link.ckpt")), (500, "last.ckpt")):
        monkeypatch.chdir(run / "checkpoints")
        outcome = invoke("train", f"resume={name}", f"budget.images={images}")
        assert outcome.code == 0, outcome.err
        assert load(run / "checkpoints" / "last.ckpt")["progress"]["images_seen"] == images
    assert not (run / "checkpoints" / "config.yaml").exists()
    assert not (tmp_path / "config.yaml").exists()


def test_two_processes_do_not_go_on_with_one_run(refuse: Callable[..., str], run: Path) -> None:
    before, release = state(run), hold(run)
    try:
        for how in (["resume=run"], ["resume=auto", "run.dir=run"]):
            assert "another process is training in run; wait until it ends" in refuse(
                "train", *how, "budget.images=600"
            )
        assert state(run) == before
    finally:
        release()
    hold(run)()  # the lock has been released


def test_a_worker_that_outlives_its_run_keeps_nothing(run: Path) -> None:
    release = hold(run)
    fork = multiprocessing.get_context("fork")
    runs = fork.Event()
    worker = fork.Process(target=lambda: (runs.set(), time.sleep(60)))
    worker.start()
    try:
        assert runs.wait(30)
        with pytest.raises(UserError, match="another process is training"):
            hold(run)
        release()
        hold(run)()
    finally:
        worker.kill()
        worker.join()


def test_a_run_that_has_only_begun_is_not_started_anew(refuse: Callable[..., str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.yaml", "history.jsonl"):
        (run / name).write_text("{}\n")
    release = hold(run)
    try:
        line = refuse("train", *QUICK, "resume=auto", "run.dir=run")
        assert "another process is training in run" in line
        assert (run / "history.jsonl").exists()
    finally:
        release()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content["state_dict"].popitem(), "does not match its own config"),
        (lambda content: content["optimizer_states"].clear(), "0 optimizers for 2 players"),
        (lambda content: content.pop("progress"), "its progress is missing or damaged"),
        (lambda content: content["saddlepoint"].update(config=[]), "its config is missing or damaged"),
        (lambda content: content["saddlepoint"]["data"].pop("shape"), "is not compatible with this version"),
        (lambda content: content["saddlepoint"].pop("wandb_id"), "is not compatible with this version"),
    ],
)
def test_a_checkpoint_that_lacks_something_changes_nothing(
    refuse: Callable[..., str], run: Path, damage: Callable[[Any], Any], message: str
) -> None:
    path = run / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    damage(content)
    torch.save(content, path)
    path.with_name("last.ckpt.sha256").unlink()
    before = state(run)
    assert message in refuse("train", "resume=run/checkpoints/last.ckpt", "budget.images=600")
    assert state(run) == before


def test_a_loaded_average_is_not_forgotten(invoke: Any, trained: Path, tiny: tuple[str, ...], tmp_path: Path) -> None:
    """A new average would follow the raw weights within a few steps, since its decay begins with (1 + t)/(10 + t)."""
    source = load(trained / "checkpoints" / "last.ckpt")
    before = source["progress"]["generator_updates"]
    for name, how in (("once", f"init_from={trained}"), ("twice", "init_from=once")):
        outcome = invoke("train", *tiny, how, "features=none", "logger=none", f"run.dir={name}", "budget.images=32")
        assert outcome.code == 0, outcome.err
        progress = load(tmp_path / name / "checkpoints" / "last.ckpt")["progress"]
        assert progress["updates_before"] == before
        before += progress["generator_updates"]


def test_a_run_resumed_within_its_ramps_is_the_uninterrupted_one(invoke: Any, tmp_path: Path) -> None:
    """Rate, β₂, penalty, half-life and probability are functions of the counters."""
    ramp = "{_target_:saddlepoint.schedules.Ramp,images:144,shape:cosine"
    ramps = (
        "model=rpgan", "network.width=4", "batch_size=16", "features=none", "logger=none", "callbacks.samples.n=4",
        "callbacks.history.every_rounds=1", "model.ema_decay=null", f"model.ema_half_life={ramp},start:0,end:100}}",
        f"optimizer.generator.lr={ramp},start:1e-3,end:1e-4}}", f"regularizer.r1.weight={ramp},start:1,end:0.1}}",
        f"optimizer.discriminator.betas=[0.0,{ramp},start:0.9,end:0.99}}]", "augment=random_transformations",
        f"augment.random_transformations.probability={ramp},start:0,end:0.9}}",
    )  # fmt: skip
    assert invoke("train", *ramps, "budget.images=160", "run.dir=whole").code == 0
    assert invoke("train", *ramps, "budget.images=96", "run.dir=halves").code == 0
    assert load(tmp_path / "halves" / "checkpoints" / "last.ckpt")["progress"]["images_averaged"] == 96
    assert invoke("train", "resume=halves", "budget.images=160").code == 0
    rates = [json.loads(row)["generator/learning_rate"] for row in (tmp_path / "whole" / "history.jsonl").open()]
    assert rates[0] == 1e-3
    assert rates[-1] == 1e-4
    whole, halves = hashes(tmp_path / "whole"), hashes(tmp_path / "halves")
    whole.pop("samples"), halves.pop("samples")  # of other moments
    assert whole == halves
