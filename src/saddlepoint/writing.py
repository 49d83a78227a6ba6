"""Utilities for writing files: atomic writes, JSON lines, and checks that a path can be written."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from saddlepoint.errors import UserError


@contextmanager
def whole(path: Path, sync: bool = False) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name only when it is complete.

    The content is written to a temporary file in the same directory, which is then renamed. Readers therefore see
    either the old file or the new one, and neither a full disk nor a killed process leaves an incomplete file.

    Args:
        path: the file.
        sync: flush the content and the directory entry to disk, so that the file also survives a power failure.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if sync:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file atomically: after a crash at any time, either the old or the new content is there, complete."""
    with whole(path, sync=True) as file:
        file.write(data)


def append_json_line(path: Path, record: Mapping[str, Any]) -> None:
    """Append a JSON object as one line, in a single write."""
    line = json.dumps(record, allow_nan=False).encode() + b"\n"
    with path.open("ab+") as file:
        if file.seek(0, os.SEEK_END) > 0:
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else b"\n" + line  # a killed run may have left an incomplete last line
        file.write(line)


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects written by :func:`append_json_line`; incomplete lines are skipped."""
    records = []
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        with contextlib.suppress(ValueError):
            records.append(json.loads(line))
    return records


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a folder, or of a file that is created if necessary: one process at a time is in the context.

    Windows and some network file systems have no such locks; there, several processes can be in it.

    Args:
        path: a folder, or a file, which stays there and should have no other purpose.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # released when it is closed, also if the process is killed
        yield
    finally:
        os.close(descriptor)


@contextmanager
def explained(place: Path, remedy: str) -> Iterator[None]:
    """Convert an OSError to a UserError.

    Args:
        place: the path that is written.
        remedy: the remedy of the UserError.

    Raises:
        UserError: if writing fails.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write to {place}: {error.strerror or error}", None, remedy) from None


@contextmanager
def folder(path: Path, names: Iterable[str], remedy: str) -> Iterator[None]:
    """Create a folder to write into; on exit, remove it and the parents created for it if they are empty.

    Args:
        path: the folder, which may already exist.
        names: the names of the files to be written there; it is an error if one of them is a folder.
        remedy: the remedy of the UserError.

    Raises:
        UserError: on entering, if files cannot be created there.
    """
    made: list[Path] = []
    try:
        with explained(path, remedy):
            made += [place for place in (path, *path.parents) if not place.exists()]
            path.mkdir(parents=True, exist_ok=True)
            _try(path)
        for name in names:
            if (path / name).is_dir():
                with explained(path / name, remedy):
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        yield
    finally:
        for place in made:
            with contextlib.suppress(OSError):  # not empty
                place.rmdir()


def check_appendable(path: Path, remedy: str) -> None:
    """Check that a file can be appended to, without creating it.

    Raises:
        UserError: if it cannot.
    """
    with explained(path, remedy):
        target = path.resolve()
        if target.exists():
            target.open("ab+").close()
        else:
            _try(target.parent)


def _try(directory: Path) -> None:
    """Create and delete a temporary file, since permission bits alone do not show whether a file system is writable."""
    tempfile.TemporaryFile(dir=directory).close()
