"""Full disks and damaged files."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from saddlepoint.tracking.checkpoints import load, load_newest, rotate


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=False).returncode:
        pytest.skip("this machine mounts no file systems")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Fill the file system completely, including space freed since the last call."""
    with (filler := folder / "filler").open("ab", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler


def contents(folder: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.slow
def test_the_disk_fills_up(user: Any, small_disk: Path) -> None:
    run = small_disk / "run"
    command = (*user.tiny, "callbacks.history.every_rounds=1000000", "callbacks.checkpoints.every_images=320")
    process = user.start(*command, user.long, f"run.dir={run}")
    process.until((run / "checkpoints" / "previous.ckpt").exists)
    end = time.monotonic() + 60  # repeatedly, since a save in progress frees the space of the previous checkpoint
    while process.code() is None and time.monotonic() < end:
        filler = fill(small_disk)
        time.sleep(0.01)
    assert process.wait() == 1
    assert process.err.splitlines()[-1].startswith(f"error: cannot write {run}")
    assert "No space left on device" in process.err
    assert "Traceback" not in process.err
    images = load_newest(run / "checkpoints")[1]["progress"]["images_seen"]
    assert images > 0
    assert not list(run.rglob("*.tmp"))
    filler.unlink()
    user.finish(f"resume={run}", f"budget.images={images + 640}")
    assert load(run / "checkpoints" / "last.ckpt")["progress"]["images_seen"] == images + 640


@pytest.mark.slow
def test_a_limit_on_file_sizes(user: Any, finished: Path) -> None:
    limit = (finished / "checkpoints" / "last.ckpt").stat().st_size // 2
    process = user.run("resume=run", "budget.images=640", limits={"RLIMIT_FSIZE": limit})
    assert process.code() == 1
    assert process.err.splitlines()[-1] == "error: cannot write run: File too large"
    assert load_newest(finished / "checkpoints")[1]["progress"]["images_seen"] == 320
    user.finish("resume=run", "budget.images=640")


@pytest.mark.slow
def test_tmpdir_is_full(user: Any, small_disk: Path) -> None:
    fill(small_disk)
    user.finish(*user.tiny, *user.saves, "run.dir=run", environment={"TMPDIR": str(small_disk)})
    assert load(user.folder / "run" / "checkpoints" / "last.ckpt")["progress"]["images_seen"] == 320


@pytest.mark.slow
def test_the_last_checkpoint_is_cut(user: Any, finished: Path) -> None:
    whole = user.fingerprint(finished)
    before = load(finished / "checkpoints" / "previous.ckpt")["progress"]["images_seen"]
    assert before < 320
    halve(finished / "checkpoints" / "last.ckpt")
    process = user.finish("resume=run")
    assert "damaged checkpoint run/checkpoints/last.ckpt: its content does not match last.ckpt.sha256" in process.err
    assert user.fingerprint(finished) == whole


@pytest.mark.slow
def test_a_damaged_checkpoint_never_takes_the_place_of_the_sound_one(finished: Path) -> None:
    folder = finished / "checkpoints"
    sound = (folder / "previous.ckpt").read_bytes()
    halve(folder / "last.ckpt")
    rotate(folder / "last.ckpt")  # as a resumed run does before its first save
    assert (folder / "previous.ckpt").read_bytes() == sound
    load(folder / "previous.ckpt")


@pytest.mark.slow
def test_one_flipped_bit(user: Any, finished: Path) -> None:
    path = finished / "checkpoints" / "last.ckpt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    for command, argument in (("train", "resume"), ("sample", "checkpoint"), ("train", "init_from")):
        process = user.run(f"{argument}={path}", command=command)
        assert process.code() == 2
        assert f"damaged checkpoint {path}: its content does not match last.ckpt.sha256" in process.err
        assert "Traceback" not in process.err


@pytest.mark.slow
@pytest.mark.parametrize("resume", ["resume=run", pytest.param("resume=auto", marks=pytest.mark.slow)])
def test_every_checkpoint_is_cut(user: Any, finished: Path, resume: str) -> None:
    for path in (finished / "checkpoints").glob("*.ckpt"):
        halve(path)
    before = contents(finished)
    process = user.run(*user.tiny, *user.saves, "run.dir=run", resume) if "auto" in resume else user.run(resume)
    assert process.code() == 2
    assert process.err.splitlines()[-1].startswith("error: no intact checkpoint in run/checkpoints")
    assert contents(finished) == before, "nothing is started anew, and nothing is lost"


@pytest.mark.slow
def test_what_the_disk_kept_is_sampled_from(user: Any, finished: Path) -> None:
    """If a save fails after ``last.ckpt`` has been renamed, the previous checkpoint can be sampled from."""
    (finished / "checkpoints" / "last.ckpt").unlink()
    process = user.finish("checkpoint=run", "n=4", command="sample")
    assert "samples of dcgan" in process.out
