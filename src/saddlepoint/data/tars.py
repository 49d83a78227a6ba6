"""Access to images in tar files, the shards of WebDataset."""

from __future__ import annotations

import bisect
import functools
import hashlib
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, NamedTuple

from rich.progress import track

from saddlepoint.data.store import raw_name, status, unreadable
from saddlepoint.data.tar_index import Index, cached_index, read_at
from saddlepoint.errors import UserError
from saddlepoint.terminal import console

OPEN_FILES = 64
PROGRESS_FROM = 8  # shards


class Shard(NamedTuple):
    """An indexed tar file.

    Attributes:
        path: returns the local file, which is downloaded first if necessary.
        size: in bytes.
        stamp: of the last modification, to recognise a file that has been replaced.
        images: its index.
    """

    path: Callable[[], Path]
    size: int
    stamp: int
    images: Index


def local_shard(path: Path, cache: Path) -> Shard:
    """Return a tar file on this machine with its index, which is kept in the folder ``cache``.

    Raises:
        UserError: there is no such file, or :func:`read_index` refuses it.
    """
    found = status(path)
    if found is None:
        raise UserError(f"{path}: no such file", None, "check the path")
    identity = f"{os.path.realpath(path)}\x00{found.st_size}\x00{found.st_mtime_ns}"
    index = cached_index(path, identity, cache)
    return Shard(functools.partial(Path, path), found.st_size, found.st_mtime_ns, index)


@functools.lru_cache(OPEN_FILES)
def _opened(path: Path, size: int, stamp: int) -> BinaryIO:
    """Return a shard, opened for :func:`read_at`. It is closed when neither this cache nor a caller refers to it."""
    file = path.open("rb", buffering=0)
    if os.fstat(file.fileno()).st_size != size:
        raise UserError(f"{path}: has been replaced by a file of another size", None, "start again")
    return file


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
        path = shard.path()
        try:
            file = _opened(path, shard.size, shard.stamp)
            return read_at(file, shard.images.offsets[row], shard.images.sizes[row], path)
        except OSError as error:
            unreadable(error, path)

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


def index_shards(locations: Mapping[str, Path], cache: Path) -> dict[str, Shard]:
    """Return the shards at these paths, indexed one after another.

    Raises:
        UserError: as :func:`local_shard` does.
    """
    few = len(locations) < PROGRESS_FROM
    shown = track(locations.items(), "Indexing shards", console=console(stderr=True), transient=True, disable=few)
    return {name: local_shard(path, cache) for name, path in shown}
