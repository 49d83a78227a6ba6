"""A folder or a zip archive as one thing: named files to be read into memory. Nothing is ever extracted."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from saddlepoint.errors import UserError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})

# Bounds on what an archive may demand of us: no photograph comes near the first, no image data set near the second.
MAX_FILE_BYTES = 256 << 20
MAX_FILES = 20_000_000

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


class Folder:
    """The images under a folder, at any depth."""

    def __init__(self, path: Path):
        self.path = path

    def names(self) -> list[str]:
        """See :meth:`Store.names`. Links to folders are followed, as data folders are often links."""
        found = []
        visited = set()
        for folder, folders, files in os.walk(self.path, followlinks=True):
            real = os.path.realpath(folder)
            if real in visited:  # a link that leads back up
                folders.clear()
                continue
            visited.add(real)
            relative = Path(folder).relative_to(self.path)
            found += [(relative / file).as_posix() for file in files]
        return sorted(name for name in found if is_image_name(name))

    def read(self, name: str) -> bytes:
        """See :meth:`Store.read`."""
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise UserError(f"{self.path / name}: cannot be read ({error.strerror}); check the file") from None

    def digest(self, names: Sequence[str]) -> str:
        """Hash names, sizes and bytes: all bytes below 256 MiB, else those of 256 files at even distances.

        In a larger folder a file replaced by another of exactly its size can therefore go unseen.
        """
        sizes = [(self.path / name).stat().st_size for name in names]
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
            except (OSError, zipfile.BadZipFile) as error:
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
        UserError: there is nothing at ``path``, or it is neither a folder nor a zip file.
    """
    if path.is_dir():
        return Folder(path)
    if not path.exists():
        raise UserError(f"{path}: no such folder or zip file; {how_to_get}")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path}: neither a folder nor a zip file; {how_to_get}")
    return Archive(path)
