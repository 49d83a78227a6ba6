"""Files that are downloaded when they are needed, and deleted again to stay within a limit."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import time
import urllib.request
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from saddlepoint.errors import UserError
from saddlepoint.writing import explained, locked, whole

CHUNK = 1 << 20
TIMEOUT = 60.0  # seconds without an answer
PAUSES = (1.0, 4.0)  # seconds before the second and the third attempt
PERMANENT = range(400, 500)  # HTTP's errors of the request


@dataclass(frozen=True)
class Downloads:
    """A folder of downloaded files, which all processes of a machine share.

    Attributes:
        folder: the folder.
        limit: in bytes: when a file has been added, those that have not been opened for the longest time are deleted.
    """

    folder: Path
    limit: int

    def open(self, url: str) -> BinaryIO:
        """Return a file, opened for reading; it is downloaded if it is not in the folder. It stays open if deleted.

        Raises:
            UserError: it cannot be downloaded, or the folder cannot be written.
        """
        file = self.folder / f"{hashlib.blake2b(url.encode(), digest_size=16).hexdigest()}.tar"
        with explained(self.folder, "set another cache_dir"):
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(file.with_suffix(".lock")):  # only one process downloads it
                try:
                    opened = file.open("rb", buffering=0)
                except FileNotFoundError:
                    opened = _downloaded(url, file)
                os.utime(opened.fileno())
            self._delete_oldest(file)
        return opened

    def _delete_oldest(self, newest: Path) -> None:
        used = []
        for file in self.folder.glob("*.tar"):
            with contextlib.suppress(FileNotFoundError):  # deleted by another process
                used.append((file != newest, -file.stat().st_mtime_ns, file.stat().st_size, file))
        total = 0
        for _, _, size, file in sorted(used):  # the newest first
            total += size
            if total > self.limit and file != newest:
                file.unlink(missing_ok=True)


def _downloaded(url: str, file: Path) -> FileIO:
    """Write the content of a URL to a file, and return it, opened for reading before another process can delete it."""
    with whole(file) as part:
        _download(url, part)
        return Path(part.name).open("rb", buffering=0)


def _download(url: str, part: BinaryIO) -> None:
    """Write the content of a URL into a file, in up to three attempts.

    Raises:
        UserError: all attempts failed, or the server refuses the request.
    """
    for pause in (*PAUSES, None):
        part.seek(0)
        part.truncate()
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
                while chunk := answer.read(CHUNK):
                    part.write(chunk)
                if answer.length:  # bytes that were announced and did not come
                    raise http.client.IncompleteRead(b"", answer.length)
                return
        except (OSError, http.client.HTTPException, ValueError) as error:  # of the network, the disk or the address
            if pause is None or getattr(error, "code", None) in PERMANENT:
                problem = f"{url}: cannot be downloaded ({error})"
                raise UserError(problem, None, "check the address and the network") from None
            time.sleep(pause)
