"""Whether a place can be written to, before hours go into what it shall hold."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from saddlepoint.errors import UserError


@contextmanager
def explained(place: Path, remedy: str) -> Iterator[None]:
    """Turn the system's refusal into one line: what, where, and the way out that the caller knows.

    Raises:
        UserError: something could not be written.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write to {place}: {error.strerror or error}; {remedy}") from None


@contextmanager
def folder(path: Path, names: Iterable[str], remedy: str) -> Iterator[None]:
    """Make a folder to write into meanwhile; if it stays empty, it goes again, with those that were made above it.

    Args:
        path: the folder, which may exist.
        names: of the files that shall be written there, and that no folder may be in the place of.
        remedy: for :func:`explained`.

    Raises:
        UserError: no file can be made there; before the caller does anything.
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
            with contextlib.suppress(OSError):  # it has been filled
                place.rmdir()


def check_appendable(path: Path, remedy: str) -> None:
    """Find out that lines can be appended to a file; one that does not exist still does not afterwards.

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
    """Make a file that no one sees. Permission bits would not tell: they bind not everybody, and not everywhere."""
    tempfile.TemporaryFile(dir=directory).close()
