"""Access to images in tar files, the shards of WebDataset."""

from __future__ import annotations

import bisect
import functools
import hashlib
import os
import zlib
from collections.abc import Mapping, Sequence
from itertools import accumulate, groupby
from pathlib import Path
from typing import BinaryIO, NamedTuple

from rich.progress import track

from saddlepoint.data.downloads import Downloads
from saddlepoint.data.store import raw_name, status, unreadable
from saddlepoint.data.stream import SHARDS_AT_ONCE
from saddlepoint.data.tar_index import Index, cached_index, read_at
from saddlepoint.errors import UserError
from saddlepoint.terminal import console

OPEN_FILES = 64
PROGRESS_FROM = 8  # shards


class Shard(NamedTuple):
    """An indexed tar file.

    Attributes:
        location: its path or URL.
        images: its index.
        stamp: of the last modification, to recognize a file that has been replaced; 0 for a URL.
        downloads: where the file of a URL is kept; None for a path.
    """

    location: Path | str
    images: Index
    stamp: int = 0
    downloads: Downloads | None = None


def index_shard(location: Path | str, cache: Path, downloads: Downloads) -> Shard:
    """Return a tar file with its index, which is kept in the folder ``cache``. A URL is downloaded to be indexed.

    Raises:
        UserError: there is no such file, it cannot be downloaded, or :func:`read_index` refuses it.
    """
    if isinstance(location, str):
        index = cached_index(location, location, cache, lambda: downloads.open(location))
        return Shard(location, index, 0, downloads)
    found = status(location)
    if found is None:
        raise UserError(f"{location}: no such file", None, "check the path")
    identity = f"{os.path.realpath(location)}\x00{found.st_size}\x00{found.st_mtime_ns}"
    index = cached_index(location, identity, cache, lambda: _open_path(location))
    return Shard(location, index, found.st_mtime_ns)


def _open_path(path: Path) -> BinaryIO:
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        unreadable(error, path)


def _open(location: Path | str, size: int, stamp: int, downloads: Downloads | None) -> BinaryIO:
    """Return a shard, opened for :func:`read_at`."""
    if isinstance(location, Path) or downloads is None:
        file, remedy = _open_path(Path(location)), "start again"
    else:
        file, remedy = downloads.open(location), f"delete {downloads.folder.parent}, and start again"
    if os.fstat(file.fileno()).st_size != size:
        raise UserError(f"{location}: has been replaced by a file of another size", None, remedy)
    return file


# Files are closed when neither these nor a caller refer to them. The space of a download that has been deleted is free
# only then, so that few are kept open.
_opened_path = functools.lru_cache(OPEN_FILES)(_open)
_opened_url = functools.lru_cache(SHARDS_AT_ONCE)(_open)


class Tars:
    """The images of several tar files. May be shared by threads and worker processes.

    Images are called ``SHARD/MEMBER``, such as ``train-000003.tar/000017.jpg``.

    Args:
        path: of the shards, for error messages.
        shards: by name.
    """

    def __init__(self, path: Path, shards: Mapping[str, Shard]):
        self.path = path
        order = sorted(shards, key=lambda name: f"{name}/")  # so that the names of all images are sorted too
        self.shards = [shards[name] for name in order]
        self._names = [f"{name}/{member}" for name in order for member in shards[name].images.names]
        self.starts = list(accumulate((len(shard.images.names) for shard in self.shards), initial=0))

    def _find(self, name: str) -> tuple[Shard, int]:
        """Return the shard of an image and its row there."""
        position = bisect.bisect_left(self._names, name)
        number = bisect.bisect_right(self.starts, position) - 1
        return self.shards[number], position - self.starts[number]

    def names(self) -> list[str]:
        """See :meth:`Store.names`."""
        return self._names

    def label(self, name: str) -> int | None:
        """Return the label of an image's sample."""
        shard, row = self._find(name)
        return shard.images.labels[row]

    def read(self, name: str) -> bytes:
        """See :meth:`Store.read`."""
        shard, row = self._find(name)
        opened = _opened_path if shard.downloads is None else _opened_url
        file = opened(shard.location, shard.images.file_size, shard.stamp, shard.downloads)
        try:
            return read_at(file, shard.images.offsets[row], shard.images.sizes[row], shard.location)
        except OSError as error:
            unreadable(error, self.path / name)

    def size(self, name: str) -> int:
        """See :meth:`Store.size`."""
        shard, row = self._find(name)
        return shard.images.sizes[row]

    def crc32(self, name: str) -> int:
        """See :meth:`Store.crc32`."""
        return zlib.crc32(self.read(name))

    def digest(self, names: Sequence[str]) -> str:
        """Return a hash of these names and of the digests of all shards, see :class:`Index`."""
        state = hashlib.blake2b(digest_size=16)
        for shard in self.shards:
            state.update(f"{shard.images.digest}\x00".encode())
        for name in names:
            state.update(raw_name(f"{name}\x00"))
        return state.hexdigest()

    def blocks(self, names: Sequence[str]) -> list[int] | None:
        """Return the numbers of consecutive names in the same shard, if shards are downloaded; else None."""
        if all(shard.downloads is None for shard in self.shards):
            return None
        return [len(list(group)) for _, group in groupby(names, lambda name: self._find(name)[0].location)]


def index_shards(locations: Mapping[str, Path | str], cache: Path, downloads: Downloads) -> dict[str, Shard]:
    """Return the shards at these paths and URLs, indexed one after another.

    Raises:
        UserError: as :func:`index_shard` does.
    """
    few = len(locations) < PROGRESS_FROM
    shown = track(locations.items(), "Indexing shards", console=console(stderr=True), transient=True, disable=few)
    return {name: index_shard(location, cache, downloads) for name, location in shown}
