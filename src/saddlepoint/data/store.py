"""A folder or a zip archive as one thing: named files to be read into memory. Nothing is ever extracted."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, Protocol

from saddlepoint.errors import UserError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})

# Bounds on what an archive may demand of us: no photograph comes near the first, no image data set near the second.
MAX_FILE_BYTES = 256 << 20
MAX_FILES = 20_000_000

# Not data, and often unreadable: what macOS puts into archives, what a disk's file system keeps at its root.
LITTER = frozenset({"__MACOSX", "lost+found"})
NOTHING_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})

# Folders up to this size are hashed whole: a second or so.
HASH_WHOLE_BYTES = 256 << 20
HASH_SAMPLE_FILES = 256


class Store(Protocol):
    """Encoded image files by name; names are relative, with forward slashes."""

    path: Path

    def names(self) -> list[str]:
        """Return the sorted names of the image files; hidden files and other kinds of file are not among them."""

    def read(self, name: str) -> bytes:
        """Return a file's bytes.

        Raises:
            UserError: the file cannot be read.
        """

    def digest(self, names: Sequence[str]) -> str:
        """Hash the content of these files."""


def is_image_name(name: str) -> bool:
    """Whether a name is an image's, is not hidden and lies in no hidden folder.

    >>> is_image_name("cat/1.PNG"), is_image_name("__MACOSX/cat/1.png"), is_image_name("cat/._1.png")
    (True, False, False)
    """
    if name.startswith(".") or "/." in name or "__MACOSX/" in name:
        return False
    return name[name.rfind(".") :].lower() in IMAGE_SUFFIXES


def raw_name(name: str) -> bytes:
    """Return a name's bytes; a file's name need be no valid UTF-8, and Python then keeps its bytes as surrogates."""
    return name.encode("utf-8", "surrogateescape")


def given_path(text: str) -> Path:
    """Return a path that a user typed: ``~`` is the home folder, which no shell makes of it after ``data.root=``."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path.expanduser raises where there is no such user


def real_name(path: Path) -> str:
    """Return the last part of a path, links followed; ``Path.resolve`` raises where they lead in a circle."""
    return os.path.basename(os.path.realpath(path))  # noqa: PTH119


def status(path: Path) -> os.stat_result | None:
    """Return what lies at a path, links followed; None where nothing does.

    Raises:
        UserError: nobody can tell: a folder above it may not be entered, or the name is too long.
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
    """Whether a path is a regular file; raises as :func:`status`, where ``Path.is_file`` raises something else."""
    found = status(path)
    return found is not None and stat.S_ISREG(found.st_mode)


def _listed(path: Path) -> os.stat_result:
    """Return what lies at a path that a folder lists."""
    found = status(path)
    if found is None:
        what = "a link to nothing; remove it" if path.is_symlink() else "no longer there; put it back, and start again"
        raise UserError(f"{path}: {what}")
    return found


def file_size(path: Path) -> int:
    """Return a file's size in bytes.

    Raises:
        UserError: it is no regular file: to read a pipe is to wait, for ever, for somebody to write.
    """
    found = _listed(path)
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path}: not a regular file; remove it")
    return found.st_size


def read_file(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        UserError: it cannot be read, or is no regular file.
    """
    file_size(path)
    try:
        return path.read_bytes()
    except OSError as error:
        unreadable(error, path)


def unreadable(error: OSError, path: Path) -> NoReturn:
    """Raise the mistake that an OSError over a path means."""
    remedy = "change its permissions, or remove it" if isinstance(error, PermissionError) else "check the path"
    raise UserError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None


@contextlib.contextmanager
def leaving_no_empty_folders(folder: Path) -> Iterator[None]:
    """Remove ``folder``, and those above it, if they are made meanwhile and stay empty."""
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        yield
    finally:
        for one in made:
            with contextlib.suppress(OSError):  # it was filled, or never made
                one.rmdir()


class Folder:
    """The images under a folder, at any depth."""

    def __init__(self, path: Path):
        self.path = path

    def names(self) -> list[str]:
        """See :meth:`Store.names`. Links to folders are followed, as data folders are often links.

        Raises:
            UserError: a folder cannot be read: without it this would be another data set.
        """
        found = []
        visited = set()

        def refuse(error: OSError) -> NoReturn:
            unreadable(error, Path(error.filename))

        for folder, folders, files in os.walk(self.path, onerror=refuse, followlinks=True):
            real = os.path.realpath(folder)
            if real in visited:  # a link that leads back up
                folders.clear()
                continue
            visited.add(real)
            folders[:] = [name for name in folders if not name.startswith(".") and name not in LITTER]
            relative = Path(folder).relative_to(self.path)
            for file in files:
                if "." not in file and Path(folder, file).is_symlink():  # to a folder that is not there, by its name
                    _listed(Path(folder, file))
            found += [(relative / file).as_posix() for file in files]
        return sorted(name for name in found if is_image_name(name))

    def read(self, name: str) -> bytes:
        """See :meth:`Store.read`."""
        return read_file(self.path / name)

    def digest(self, names: Sequence[str]) -> str:
        """Hash names, sizes and bytes: all bytes below 256 MiB, else those of 256 files at even distances.

        In a larger folder a file replaced by another of exactly its size can therefore go unseen.
        """
        sizes = [file_size(self.path / name) for name in names]
        whole = sum(sizes) <= HASH_WHOLE_BYTES
        step = 1 if whole else max(1, len(names) // HASH_SAMPLE_FILES)
        state = hashlib.blake2b(digest_size=16)
        for index, (name, size) in enumerate(zip(names, sizes, strict=True)):
            state.update(raw_name(f"{name}\x00{size}\x00"))
            if index % step == 0:
                state.update(self.read(name))
        return state.hexdigest()


class Archive:
    """The images in a zip file. Workers and threads may share one: every process opens the file for itself."""

    def __init__(self, path: Path):
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        self._process = -1

    def _file(self) -> zipfile.ZipFile:
        # A forked worker must not share its parent's file position.
        if self._zip is None or self._process != os.getpid():
            try:
                self._zip = zipfile.ZipFile(self.path)
            except Exception as error:  # besides its own kind: an unknown version, a name that is no UTF-8 …
                raise UserError(f"{self.path}: not a readable zip file ({error}); copy or download it again") from None
            self._process = os.getpid()
        return self._zip

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_zip": None, "_process": -1}

    def names(self) -> list[str]:
        """See :meth:`Store.names`."""
        members = self._file().infolist()
        if len(members) > MAX_FILES:
            raise UserError(f"{self.path}: {len(members):,} members, more than {MAX_FILES:,}; split the archive")
        for member in members:
            if _leads_outside(member):
                raise UserError(
                    f"{self.path}: {member.filename!r} leads out of the archive, so it is refused; remove it"
                )
        return sorted({member.filename for member in members if not member.is_dir() and is_image_name(member.filename)})

    def read(self, name: str) -> bytes:
        """See :meth:`Store.read`. The declared size bounds what is unpacked, and the CRC is checked."""
        size = self._file().getinfo(name).file_size
        if size > MAX_FILE_BYTES:
            raise UserError(f"{self.path}:{name}: {size:,} bytes unpacked, more than {MAX_FILE_BYTES:,}; remove it")
        try:
            return self._file().read(name)
        except Exception as error:  # zipfile raises five kinds: bad CRC, bad deflate, a password, an unknown method …
            raise UserError(f"{self.path}:{name}: cannot be unpacked ({error}); copy the archive again") from None

    def digest(self, names: Sequence[str]) -> str:
        """Hash names, sizes and CRC-32s of all members, which every read checks: content without reading it."""
        state = hashlib.blake2b(digest_size=16)
        for name in names:
            member = self._file().getinfo(name)
            state.update(f"{name}\x00{member.file_size}\x00{member.CRC}\x00".encode())
        return state.hexdigest()


def _leads_outside(member: zipfile.ZipInfo) -> bool:
    """Whether a member is a link, or its name climbs up or is absolute: made to write elsewhere when unpacked.

    Nothing is unpacked here, but who hands on such an archive means harm, or has been harmed.
    """
    parts = member.filename.replace("\\", "/").split("/")
    absolute = parts[0] == "" or parts[0][1:] == ":"
    return absolute or ".." in parts or stat.S_ISLNK(member.external_attr >> 16)


def open_store(path: Path, how_to_get: str) -> Store:
    """Open a folder or a zip file.

    Args:
        path: the folder or file.
        how_to_get: what the message tells a user who has not got it.

    Raises:
        UserError: there is nothing at ``path``, it cannot be read, or it is neither a folder nor a zip file.
    """
    found = status(path)
    if found is None:
        raise UserError(f"{path}: no such folder or zip file; {how_to_get}")
    if stat.S_ISDIR(found.st_mode):
        return Folder(path)
    if not (stat.S_ISREG(found.st_mode) and _is_zip(path)):
        raise UserError(f"{path}: neither a folder nor a zip file; {how_to_get}")
    return Archive(path)


def _is_zip(path: Path) -> bool:
    try:
        with path.open("rb") as file:  # by its name alone, a file that may not be read is said to be no zip
            return zipfile.is_zipfile(file)
    except OSError as error:
        unreadable(error, path)
