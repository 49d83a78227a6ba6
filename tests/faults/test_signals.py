"""SIGTERM and Ctrl-C: the run saves, prints how to continue, and exits with 128 + signal."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

RANKS = ("trainer=ddp", "trainer.accelerator=cpu")


def after_rounds(user: Any, process: Any, rounds: int = 5) -> None:
    process.until(lambda: len(user.rows(user.folder / "run")) >= rounds)


def assert_saved(user: Any, process: Any, name: str) -> int:
    """Check that the last round was saved, and return the images seen."""
    last = user.rows(user.folder / "run")[-1]["images_seen"]
    assert f"stopped by {name} after {last:,} images; continue with: saddlepoint train resume=run" in process.err
    assert "Traceback" not in process.err
    return int(last)


@pytest.mark.parametrize(
    ("name", "code", "loader"),
    [
        pytest.param("SIGTERM", 143, "memory", marks=pytest.mark.slow),
        pytest.param("SIGTERM", 143, "workers", marks=pytest.mark.slow),
        pytest.param("SIGINT", 130, "memory", marks=pytest.mark.slow),
        pytest.param("SIGINT", 130, "workers", marks=pytest.mark.slow),
    ],
)
def test_a_signal_to_the_run_and_its_workers(user: Any, loader: str, name: str, code: int) -> None:
    """As sent by a scheduler or a terminal; the resumed run ends with the bits of an uninterrupted one."""
    command = (*user.tiny, f"data.loader={loader}")
    process = user.start(*command, user.long, "run.dir=run")
    after_rounds(user, process)
    process.send_group(getattr(signal, name))
    assert process.wait() == code
    images = assert_saved(user, process, name)
    assert process.no_orphans()
    user.finish("resume=run", f"budget.images={images + 100}")
    user.finish(*command, "run.dir=alone", f"budget.images={images + 100}")
    assert user.fingerprint(user.folder / "run") == user.fingerprint(user.folder / "alone")


@pytest.mark.slow
def test_a_second_ctrl_c_does_not_wait_for_the_round(user: Any, faulty: tuple[str, ...]) -> None:
    process = user.start(*faulty, *user.tiny, "loss.kind=slow", user.long, "run.dir=run")
    after_rounds(user, process, 1)
    process.send(signal.SIGINT)
    process.send(signal.SIGINT)
    assert process.wait() != 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, -signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_before_training_there_is_nothing_to_save(
    user: Any, faulty: tuple[str, ...], number: signal.Signals, code: int
) -> None:
    process = user.start(*faulty, *user.tiny, "loss.kind=slow to build", "run.dir=run")
    process.until((user.folder / "building").exists)
    process.send(number)
    assert process.wait() == code
    assert "Traceback" not in process.err
    assert not (user.folder / "run").exists()


@pytest.mark.slow
def test_while_the_untrained_system_is_scored(user: Any) -> None:
    """The evaluation is finished, and the run stops before its first round."""
    scored = ("features=random", "callbacks.scores.n=1000")
    process = user.start(*user.tiny, *scored, user.long, "run.dir=run")
    process.until((user.folder / "run" / "samples" / "samples-000000000.png").exists)
    process.send(signal.SIGTERM)
    assert process.wait() == 143
    assert "stopped by SIGTERM after 0 images" in process.err
    user.finish("resume=run", "budget.images=64")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", pytest.param("SIGINT", marks=pytest.mark.slow)])
@pytest.mark.parametrize("rank", [None, *(pytest.param(rank, marks=pytest.mark.slow) for rank in (0, 1))])
def test_a_signal_to_two_ranks(user: Any, rank: int | None, name: str) -> None:
    """Sent to the started process, which forwards it, or to one of the ranks."""
    process = user.start(*user.tiny, *RANKS, user.long, "run.dir=run")
    after_rounds(user, process)
    os.kill(process.pid if rank is None else process.ranks()[rank], getattr(signal, name))
    assert process.wait() == (143 if name == "SIGTERM" else 130)
    assert process.no_orphans()
    assert_saved(user, process, name)


@pytest.mark.slow
@pytest.mark.parametrize("refused", [False, True])
def test_a_job_that_cannot_be_requeued_is_stopped(user: Any, refused: bool) -> None:
    """Containers often do not have SLURM's commands."""
    (scontrol := user.folder / "bin" / "scontrol").parent.mkdir()
    if refused:
        scontrol.write_text("#!/bin/sh\necho 'Access denied' >&2\nexit 1\n")
        scontrol.chmod(0o755)
    process = user.start(
        *user.tiny, user.long, "run.dir=run", environment={"SLURM_JOB_ID": "7", "PATH": str(scontrol.parent)}
    )
    after_rounds(user, process)
    process.send(signal.SIGUSR1)
    assert process.wait() == 143
    assert_saved(user, process, "SIGUSR1")
    reason = "Access denied" if refused else "scontrol: No such file or directory"
    assert f"the job was not requeued ({reason}); to requeue it: scontrol requeue 7" in process.err


@pytest.mark.slow
def test_slurm_warns_only_the_second_of_two_ranks(user: Any) -> None:
    """On several machines, SLURM's signal does not arrive everywhere at once; rank 0 requeues the job all the same."""
    (scontrol := user.folder / "bin" / "scontrol").parent.mkdir()
    scontrol.write_text(f"#!/bin/sh\necho $* >> {user.folder}/asked\n")
    scontrol.chmod(0o755)
    job = {"SLURM_JOB_ID": "7", "PATH": f"{scontrol.parent}:{os.environ['PATH']}"}
    process = user.start(*user.tiny, *RANKS, user.long, "run.dir=run", environment=job)
    after_rounds(user, process)
    os.kill(process.ranks()[1], signal.SIGUSR1)
    assert process.wait() == 143
    assert_saved(user, process, "SIGUSR1")
    assert (user.folder / "asked").read_text() == "requeue 7\n"


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_one_of_two_ranks_is_killed(user: Any, rank: int) -> None:
    process = user.start(*user.tiny, *RANKS, user.long, "run.dir=run", "callbacks.checkpoints.every_images=64")
    after_rounds(user, process)
    os.kill(process.ranks()[rank], signal.SIGKILL)
    assert process.wait() == 1
    assert process.no_orphans()
    line = f"error: rank {rank} was killed by SIGKILL; resume=RUN continues from the last checkpoint"
    assert process.err.splitlines()[-1] == line
    assert "Traceback" not in process.err
    user.finish("resume=run", f"budget.images={user.rows(user.folder / 'run')[-1]['images_seen'] + 64}", *RANKS)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_one_of_two_ranks_is_killed_before_they_are_connected(user: Any, rank: int) -> None:
    process = user.start(*user.tiny, *RANKS, user.long, "run.dir=run")
    process.until(lambda: len(process.ranks()) == 2)
    os.kill(process.ranks()[rank], signal.SIGKILL)
    assert process.wait() == 1
    assert process.no_orphans()
    assert process.err.splitlines()[-1].startswith(f"error: rank {rank} was killed by SIGKILL")


@pytest.mark.slow
def test_the_launcher_of_two_ranks_is_killed(user: Any) -> None:
    """The ranks detect this, save and end; under torchrun alone, they would continue."""
    process = user.start(*user.tiny, *RANKS, user.long, "run.dir=run")
    after_rounds(user, process)
    process.send(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert process.no_orphans()
    assert_saved(user, process, "SIGTERM")


@pytest.mark.slow
def test_a_mistake_is_one_line_of_two_ranks(user: Any) -> None:
    process = user.run(*user.tiny, *RANKS, "batch_size=5000", "run.dir=run")
    assert process.code() == 2
    assert process.err == "error: batch_size: 5000 is more than the 1,472 training samples; reduce it\n"
    assert not (user.folder / "run").exists()
