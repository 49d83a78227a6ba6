"""Writing files: atomically, line by line, and checks that a place can be written."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from saddlepoint.errors import UserError


@contextmanager
def whole(path: Path, sync: bool = False) -> Iterator[BinaryIO]:
    """Open a file that appears under its name only once it is complete.

    The content goes to a temporary file in the same directory, which is then renamed. So a reader sees the old file or
    the new one, and neither a full disk nor a kill leaves an incomplete one.

    Args:
        path: the file.
        sync: wait until the content and the name are on the disk, so that this also survives a loss of power.
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
    """Replace a file atomically: whenever the machine stops, the old file or the new one is there, complete."""
    with whole(path, sync=True) as file:
        file.write(data)


def append_json_line(path: Path, record: Mapping[str, Any]) -> None:
    """Append one JSON object as a line, in one write, so that a killed run leaves complete lines."""
    line = json.dumps(record, allow_nan=False).encode() + b"\n"
    with path.open("ab+") as file:
        if file.seek(0, os.SEEK_END) > 0:
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else b"\n" + line  # the incomplete last line of a killed run
        file.write(line)


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Return what :func:`append_json_line` wrote; a line that a killed run left incomplete is skipped."""
    records = []
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        with contextlib.suppress(ValueError):
            records.append(json.loads(line))
    return records


@contextmanager
def explained(place: Path, remedy: str) -> Iterator[None]:
    """Turn an OSError into a UserError.

    Args:
        place: what is written.
        remedy: what the user can do.

    Raises:
        UserError: something could not be written.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write to {place}: {error.strerror or error}", None, remedy) from None


@contextmanager
def folder(path: Path, names: Iterable[str], remedy: str) -> Iterator[None]:
    """Make a folder to write into; if it is empty at the end, it is removed, with its parents that were made for it.

    Args:
        path: the folder, which may exist.
        names: of the files to be written there; a folder of such a name is refused.
        remedy: for :func:`explained`.

    Raises:
        UserError: no file can be made there; raised on entering.
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
    """Check that lines can be appended to a file, without creating it.

    Raises:
        UserError: they cannot.
    """
    with explained(path, remedy):
        target = path.resolve()
        if target.exists():
            target.open("ab+").close()
        else:
            _try(target.parent)


def _try(directory: Path) -> None:
    """Make an anonymous file: permission bits alone do not say whether this user can write on this file system."""
    tempfile.TemporaryFile(dir=directory).close()
