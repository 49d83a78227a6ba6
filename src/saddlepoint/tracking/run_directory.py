"""A run's own directory. Two runs never share one, also when both start in the same second."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from saddlepoint.errors import UserError


def create(root: Path, name: str) -> Path:
    """Make ``root/name``, or ``root/name-2`` and so on where that exists, and return it.

    Raises:
        UserError: where nothing can be written.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        for attempt in itertools.count(1):
            directory = root / (name if attempt == 1 else f"{name}-{attempt}")
            try:
                directory.mkdir()  # the operating system lets one of two runs win
            except FileExistsError:
                continue
            return directory
    except OSError as error:
        raise UserError(
            f"cannot write to {root}: {error.strerror}; set run.root to a folder that can be written"
        ) from None
    raise AssertionError("itertools.count ended")


def claim(directory: Path, again: bool = False) -> Path:
    """Make exactly ``directory``, which must be new or empty.

    Args:
        directory: the run's.
        again: take over a run that was stopped there before its first checkpoint; its rows are dropped.

    Raises:
        UserError: where it holds something, or cannot be made.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        occupied = any(directory.iterdir())
    except OSError as error:
        raise UserError(f"cannot write to {directory}: {error.strerror}; choose another run.dir") from None
    if occupied and again and (directory / "config.yaml").exists():
        hold(directory)()  # not from under a run that has not come to its first checkpoint
        for name in ("history.jsonl", "scores.jsonl"):
            (directory / name).unlink(missing_ok=True)
    elif occupied:
        raise UserError(f"run.dir={directory} is not empty; choose another, since two runs never share one")
    return directory


def hold(directory: Path) -> Callable[[], None]:
    """Keep a run's directory for this process, until it ends or calls what is returned.

    Raises:
        UserError: another process has it.
    """
    if sys.platform == "win32":
        return lambda: None
    import fcntl

    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it however the process ends
    except BlockingIOError:
        os.close(descriptor)
        raise UserError(f"another process trains in {directory}: wait for its end, or stop it") from None
    except OSError:  # a file system without locks
        pass
    _held.add(descriptor)

    def release() -> None:
        _held.discard(descriptor)
        os.close(descriptor)

    return release


_held: set[int] = set()


def _let_go() -> None:
    """A loader's worker is a copy of its process that may outlive it, and must not keep the directory then."""
    while _held:
        os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def append_json_line(path: Path, record: Mapping[str, Any]) -> None:
    """Append one JSON object as a line, in one write, so that a killed run leaves whole lines."""
    line = json.dumps(record, allow_nan=False).encode() + b"\n"
    with path.open("ab+") as file:
        if file.seek(0, os.SEEK_END) > 0:
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else b"\n" + line  # a killed run's last line stays by itself
        file.write(line)


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read what :func:`append_json_line` wrote; a line that a killed run left unfinished is left out."""
    records = []
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        with contextlib.suppress(ValueError):
            records.append(json.loads(line))
    return records


@contextlib.contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes its name, or another's place, only once it is whole: a full disk leaves no half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that is either the old one or the new one, whole, whenever the machine stops."""
    with whole(path) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def stamp() -> str:
    """Return the local time as run names carry it: ``2026-01-31_23-59-59``."""
    return time.strftime("%Y-%m-%d_%H-%M-%S")
