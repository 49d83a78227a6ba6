"""Access to files by name, and the store of the files in a folder; zip files are in ``archive.py``."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn, Protocol

from saddlepoint.errors import UserError

# Limits on archives, far above the sizes of real images and data sets.
MAX_FILE_BYTES = 256 << 20
MAX_FILES = 20_000_000

# Folders and files without data that operating systems and storage devices add; some of the folders are unreadable.
SYSTEM_NAMES = frozenset({
    "__MACOSX", "lost+found", "$RECYCLE.BIN", "System Volume Information", "@eaDir", "#recycle", "Thumbs.db",
    "desktop.ini",
})  # fmt: skip
NOTHING_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})

# Stores up to this size are hashed completely, in about a second.
HASH_WHOLE_BYTES = 256 << 20
HASH_SAMPLE_FILES = 256


class Store(Protocol):
    """Files by relative name, with forward slashes."""

    path: Path

    def names(self) -> list[str]:
        """Return the sorted names of all files, except hidden ones and those of operating systems."""

    def read(self, name: str) -> bytes:
        """Return a file's bytes.

        Raises:
            UserError: the file cannot be read.
        """

    def size(self, name: str) -> int:
        """Return a file's size in bytes."""

    def crc32(self, name: str) -> int:
        """Return the CRC-32 of a file's bytes."""

    def digest(self, names: Sequence[str]) -> str:
        """Return a hash of the content of these files."""


def is_data(name: str) -> bool:
    """Return whether neither a file nor one of its folders is hidden or belongs to an operating system.

    >>> is_data("cat/1.PNG"), is_data("__MACOSX/cat/1.png"), is_data("cat/._1.png")
    (True, False, False)
    """
    return not name.startswith(".") and "/." not in name and SYSTEM_NAMES.isdisjoint(name.split("/"))


def raw_name(name: str) -> bytes:
    """Return a name's bytes. Names need not be valid UTF-8: Python represents invalid bytes as surrogates."""
    return name.encode("utf-8", "surrogateescape")


def given_path(text: str) -> Path:
    """Return a path given by the user with ``~`` expanded, which shells do not do after ``data.root=``."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path.expanduser raises for unknown users


def real_name(path: Path, suffixes: Sequence[str] = ()) -> str:
    """Return the last component of a path after resolving links, without its suffix if that is one of ``suffixes``.

    ``Path.resolve`` would raise for circular links.
    """
    name = os.path.basename(os.path.realpath(path))  # noqa: PTH119
    return next((name.removesuffix(suffix) for suffix in suffixes if name.endswith(suffix)), name)


def status(path: Path) -> os.stat_result | None:
    """Return the status of a path after following links, or None if it does not exist.

    Raises:
        UserError: a parent folder is not accessible, or the name is too long.
    """
    try:
        return path.stat()
    except OSError as error:
        if error.errno in NOTHING_THERE:
            return None
        unreadable(error, path)
    except ValueError:  # a null byte in the name
        return None


def is_file(path: Path) -> bool:
    """Return whether a path is a regular file; raises as :func:`status` does."""
    found = status(path)
    return found is not None and stat.S_ISREG(found.st_mode)


def _listed(path: Path) -> os.stat_result:
    """Return the status of a path from a folder's listing."""
    found = status(path)
    if found is None and path.is_symlink():
        raise UserError(f"{path}: broken symbolic link", None, "remove it")
    if found is None:
        raise UserError(f"{path}: no longer exists", None, "restore it and start again")
    return found


def file_size(path: Path) -> int:
    """Return a file's size in bytes.

    Raises:
        UserError: it is not a regular file; reading a FIFO would block.
    """
    found = _listed(path)
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path}: not a regular file", None, "remove it")
    return found.st_size


def read_file(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        UserError: it cannot be read, or is not a regular file.
    """
    file_size(path)
    try:
        return path.read_bytes()
    except OSError as error:
        unreadable(error, path)


def unreadable(error: OSError, path: Path) -> NoReturn:
    """Raise a UserError for an OSError that concerns a path."""
    remedy = "change its permissions, or remove it" if isinstance(error, PermissionError) else "check the path"
    raise UserError(f"{path}: cannot be read ({error.strerror})", None, remedy) from None


@contextlib.contextmanager
def leaving_no_empty_folders(folder: Path) -> Iterator[None]:
    """Remove ``folder`` and its parent folders on exit if they were created within the context and are empty."""
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        yield
    finally:
        for one in made:
            with contextlib.suppress(OSError):  # not empty, or never created
                one.rmdir()


def digest_of_files(store: Store, names: Sequence[str]) -> str:
    """Return a hash of names, sizes and contents: of all files up to 256 MiB, else of 256 evenly spaced files.

    In larger stores, replacing a file by another of exactly the same size may therefore not be detected.
    """
    sizes = [store.size(name) for name in names]
    step = 1 if sum(sizes) <= HASH_WHOLE_BYTES else max(1, len(names) // HASH_SAMPLE_FILES)
    state = hashlib.blake2b(digest_size=16)
    for index, (name, size) in enumerate(zip(names, sizes, strict=True)):
        state.update(raw_name(f"{name}\x00{size}\x00"))
        if index % step == 0:
            state.update(store.read(name))
    return state.hexdigest()


class Folder:
    """The files in a folder and its subfolders."""

    def __init__(self, path: Path):
        self.path = path

    def names(self) -> list[str]:
        """See :meth:`Store.names`. Links to folders are followed, as data folders are often links.

        A link from a folder to itself or to a folder above it is left out.

        Raises:
            UserError: a folder cannot be read. Omitting it would silently change the data set.
        """
        found = []
        above: dict[Path, frozenset[str]] = {}  # the real paths of each folder and of the folders above it

        def refuse(error: OSError) -> NoReturn:
            unreadable(error, Path(error.filename))

        for folder, folders, files in os.walk(self.path, onerror=refuse, followlinks=True):
            real, parents = os.path.realpath(folder), above.get(Path(folder).parent, frozenset())
            if real in parents:  # a loop of links
                folders.clear()
                continue
            above[Path(folder)] = parents | {real}
            folders[:] = [name for name in folders if is_data(name)]
            relative = Path(folder).relative_to(self.path)
            for file in files:
                if "." not in file and Path(folder, file).is_symlink():  # probably a broken link to a folder
                    _listed(Path(folder, file))
            found += [(relative / file).as_posix() for file in files if is_data(file)]
        return sorted(found)

    def read(self, name: str) -> bytes:
        """See :meth:`Store.read`."""
        return read_file(self.path / name)

    def size(self, name: str) -> int:
        """See :meth:`Store.size`."""
        return file_size(self.path / name)

    def crc32(self, name: str) -> int:
        """See :meth:`Store.crc32`."""
        return zlib.crc32(self.read(name))

    def digest(self, names: Sequence[str]) -> str:
        """See :func:`digest_of_files`."""
        return digest_of_files(self, names)
