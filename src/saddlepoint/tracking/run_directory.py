"""Creating and locking the directory of a run, so that no two runs share one."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from saddlepoint.errors import UserError


def create(root: Path, name: str) -> Path:
    """Create and return ``root/name``, or ``root/name-2`` and so on if that exists.

    Raises:
        UserError: if the directory cannot be created.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        for attempt in itertools.count(1):
            directory = root / (name if attempt == 1 else f"{name}-{attempt}")
            try:
                directory.mkdir()  # atomic: of two runs, only one succeeds
            except FileExistsError:
                continue
            return directory
    except OSError as error:
        raise UserError(
            f"cannot write to {root}: {error.strerror}", "run.root", "choose a folder that can be written"
        ) from None
    raise AssertionError("itertools.count ended")


def claim(directory: Path, again: bool = False) -> Path:
    """Create ``directory``, which must be new or empty.

    Args:
        directory: the run's directory.
        again: allow the directory of a run that was stopped before its first checkpoint, and delete its history.

    Raises:
        UserError: if it is not empty or cannot be created, or another process has begun to train there meanwhile.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        occupied = any(directory.iterdir())
    except OSError as error:
        raise UserError(f"cannot write to {directory}: {error.strerror}", "run.dir", "choose another folder") from None
    if occupied and again and (directory / "config.yaml").exists():
        hold(directory)()  # raises if a process is still training there
        if any(directory.glob("checkpoints/*.ckpt")):
            problem = f"a run in {directory} has saved a checkpoint since this one was started"
            raise UserError(problem, "run.dir", "start again to continue it")
        for name in ("history.jsonl", "scores.jsonl"):
            (directory / name).unlink(missing_ok=True)
    elif occupied:
        raise UserError(f"{directory} is not empty", "run.dir", "choose another folder")
    return directory


def contents(directory: Path) -> frozenset[str] | None:
    """Return the names in a directory, or None if it does not exist or cannot be read."""
    try:
        return frozenset(entry.name for entry in directory.iterdir())
    except OSError:
        return None


def discard(directory: Path, before: frozenset[str] | None) -> None:
    """Delete what a run that could not start has written.

    Args:
        directory: the run's directory.
        before: the :func:`contents` before the run; they are kept, and with them the directory.
    """
    if before is None:
        shutil.rmtree(directory)
        return
    for entry in directory.iterdir():
        if entry.name in before:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def hold(directory: Path) -> Callable[[], None]:
    """Lock a run's directory until this process ends or calls the returned function.

    Raises:
        UserError: if another process holds the lock.
    """
    if sys.platform == "win32":
        return lambda: None
    import fcntl

    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released even if the process is killed
    except BlockingIOError:
        os.close(descriptor)
        raise UserError(
            f"another process is training in {directory}", "run.dir", "wait until it ends, or stop it"
        ) from None
    except OSError:  # a file system without locks
        pass
    _held.add(descriptor)

    def release() -> None:
        _held.discard(descriptor)
        os.close(descriptor)

    return release


_held: set[int] = set()


def _release_all() -> None:
    """Release the locks in a forked child process, such as a data loader's worker, which may outlive its parent."""
    while _held:
        os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_all)


def one_folder() -> UserError:
    """Return the error of setting ``run.dir`` in a sweep."""
    return UserError("the runs of a sweep cannot share a folder", "run.dir", "with -m, set hydra.sweep.dir instead")


def stamp() -> str:
    """Return the local time in the format of run names, ``2026-01-31_23-59-59``."""
    return time.strftime("%Y-%m-%d_%H-%M-%S")
