"""Zip archives as stores of files; they are not extracted to disk."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from saddlepoint.data.store import MAX_FILE_BYTES, MAX_FILES, Folder, Store, is_data, status, unreadable
from saddlepoint.errors import UserError


class Archive:
    """The files in a zip file. May be shared by threads and worker processes; each process opens the file itself.

    Backslashes in names, which some programs on Windows write, separate folders as slashes do.
    """

    def __init__(self, path: Path):
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        self._members: dict[str, zipfile.ZipInfo] = {}
        self._process = -1

    def _file(self) -> zipfile.ZipFile:
        # A forked worker must not share its parent's file position.
        if self._zip is None or self._process != os.getpid():
            try:
                self._zip = zipfile.ZipFile(self.path)
            except Exception as error:  # besides BadZipFile: an unknown version, a name that is not UTF-8 …
                problem = f"{self.path}: not a readable zip file ({error})"
                raise UserError(problem, None, "copy or download it again") from None
            self._members = self._by_name(self._zip)
            self._process = os.getpid()
        return self._zip

    def _by_name(self, file: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
        members: dict[str, zipfile.ZipInfo] = {}
        for member in file.infolist():
            name = member.filename.replace("\\", "/")
            if name in members and members[name].filename != member.filename:
                problem = f"{self.path}: {name} is there twice, with slashes and with backslashes"
                raise UserError(problem, None, "remove one of them from the archive")
            members[name] = member
        return members

    def _member(self, name: str) -> zipfile.ZipInfo:
        self._file()
        return self._members[name]

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_zip": None, "_members": {}, "_process": -1}

    def names(self) -> list[str]:
        """See :meth:`Store.names`."""
        members = self._file().infolist()
        if len(members) > MAX_FILES:
            problem = f"{self.path}: {len(members):,} members, more than {MAX_FILES:,}"
            raise UserError(problem, None, "split the archive")
        for member in members:
            if _points_outside(member):
                problem = f"{self.path}: {member.filename!r} points outside the archive"
                raise UserError(problem, None, "remove it from the archive")
        return sorted(name for name in self._members if not name.endswith("/") and is_data(name))

    def read(self, name: str) -> bytes:
        """See :meth:`Store.read`. The declared size is checked, which zipfile does not exceed, and so is the CRC."""
        size = self.size(name)
        if size > MAX_FILE_BYTES:
            problem = f"{self.path}:{name}: {size:,} bytes unpacked, more than {MAX_FILE_BYTES:,}"
            raise UserError(problem, None, "remove it")
        try:
            return self._file().read(self._member(name))
        except Exception as error:  # of many types: bad CRC, bad deflate data, encryption, unknown method …
            problem = f"{self.path}:{name}: cannot be unpacked ({error})"
            raise UserError(problem, None, "copy the archive again") from None

    def size(self, name: str) -> int:
        """See :meth:`Store.size`."""
        return self._member(name).file_size

    def crc32(self, name: str) -> int:
        """See :meth:`Store.crc32`. The archive's directory contains it."""
        return self._member(name).CRC

    def digest(self, names: Sequence[str]) -> str:
        """Return a hash of names, sizes and CRC-32s of these members; contents are compared with the CRC when read."""
        state = hashlib.blake2b(digest_size=16)
        for name in names:
            state.update(f"{name}\x00{self.size(name)}\x00{self.crc32(name)}\x00".encode())
        return state.hexdigest()


def _points_outside(member: zipfile.ZipInfo) -> bool:
    """Return whether a member is a link, or its name :func:`is_outside`."""
    return is_outside(member.filename) or stat.S_ISLNK(member.external_attr >> 16)


def is_outside(name: str) -> bool:
    """Return whether the name of a member of an archive is absolute or contains ``..``.

    Extracting it could write elsewhere. Nothing is extracted here, but such an archive is malicious or damaged.
    """
    parts = name.replace("\\", "/").split("/")
    return parts[0] == "" or parts[0][1:] == ":" or ".." in parts


def open_store(path: Path, remedy: str, key: str = "root") -> Store:
    """Open a folder or a zip file.

    Args:
        path: the folder or file.
        remedy: what the user should do if the path does not exist or is of another type.
        key: the argument that the path was given as.

    Raises:
        UserError: ``path`` does not exist, cannot be read, or is neither a folder nor a zip file.
    """
    found = status(path)
    if found is None:
        raise UserError(f"{path}: no such folder or zip file", key, remedy)
    if stat.S_ISDIR(found.st_mode):
        return Folder(path)
    if not (stat.S_ISREG(found.st_mode) and _is_zip(path)):
        raise UserError(f"{path}: neither a folder nor a zip file", key, remedy)
    return Archive(path)


def _is_zip(path: Path) -> bool:
    try:
        with path.open("rb") as file:  # given a name, is_zipfile would return False for an unreadable file
            return zipfile.is_zipfile(file)
    except OSError as error:
        unreadable(error, path)
