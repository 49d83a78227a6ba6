"""Indexes of tar files: the images inside and their labels, found without extracting anything."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import tarfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from saddlepoint.data.archive import is_outside
from saddlepoint.data.images import SUFFIXES
from saddlepoint.data.sources.folders import suffix_of
from saddlepoint.data.store import MAX_FILE_BYTES, MAX_FILES, is_data, raw_name
from saddlepoint.errors import UserError
from saddlepoint.writing import whole

INDEX_VERSION = 1
MAX_LABEL_BYTES = 1 << 20
INT64 = range(-(1 << 63), 1 << 63)

# A shard's digest covers the content of all its images up to this size, else of some evenly spaced ones.
HASH_WHOLE_BYTES = 16 << 20
HASH_SAMPLE_FILES = 16

COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


class Index(NamedTuple):
    """The images of a tar file, in the order of their names.

    Attributes:
        names: of the members, such as ``000017.jpg``.
        offsets: position of each image's first byte.
        sizes: in bytes.
        labels: label of each image's sample, or None.
        digest: a hash of names, sizes, labels and contents: of all images up to 16 MiB, else of 16 evenly spaced ones.
        file_size: of the tar file, in bytes.
    """

    names: list[str]
    offsets: list[int]
    sizes: list[int]
    labels: list[int | None]
    digest: str
    file_size: int


def is_image(name: str) -> bool:
    """Return whether a member has the suffix of an image, and is not hidden."""
    return suffix_of(name) in SUFFIXES and is_data(posixpath.normpath(name))


def sample_key(name: str) -> str:
    """Return the key that the members of one sample share: the name up to the first dot of its last component.

    >>> sample_key("v1.0/000017.seg.png")
    'v1.0/000017'
    """
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]


def read_index(file: BinaryIO, path: Path | str) -> Index:
    """Read the headers of a tar file, and the labels of its samples.

    A label is the integer in the ``.cls`` member of a sample, else ``label`` in its ``.json`` member.

    Raises:
        UserError: the file is not an uncompressed tar, is truncated, contains links, devices or names outside the
            archive, exceeds the limits of :mod:`~saddlepoint.data.store`, or has a label that is not an integer.
    """
    images: dict[str, tuple[int, int]] = {}
    labels: dict[str, int] = {}
    for name, member in _members(file, path):
        if is_image(name):
            if name in images:
                raise UserError(f"{path}: two members are called {name}", None, "remove one of them")
            images[name] = member.offset_data, member.size
        elif name.endswith((".cls", ".json")) and member.size <= MAX_LABEL_BYTES:
            label = _label(f"{path}: {name}", read_at(file, member.offset_data, member.size, path))
            if label is not None and (name.endswith(".cls") or sample_key(name) not in labels):
                labels[sample_key(name)] = label
    names = sorted(images)
    offsets, sizes = ([images[name][i] for name in names] for i in range(2))
    found = [labels.get(sample_key(name)) for name in names]
    step = 1 if sum(sizes) <= HASH_WHOLE_BYTES else max(1, len(names) // HASH_SAMPLE_FILES)
    state = hashlib.blake2b(digest_size=16)
    for row, (name, size, label) in enumerate(zip(names, sizes, found, strict=True)):
        state.update(raw_name(f"{name}\x00{size}\x00{label}\x00"))
        if row % step == 0:
            state.update(read_at(file, offsets[row], size, path))
    return Index(names, offsets, sizes, found, state.hexdigest(), os.fstat(file.fileno()).st_size)


def _members(file: BinaryIO, path: Path | str) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """Yield the regular members of a tar file with their normalized names."""
    start = file.read(6)
    if kind := next((kind for magic, kind in COMPRESSED.items() if start.startswith(magic)), None):
        problem = f"{path}: compressed with {kind}, which does not allow random access to its members"
        raise UserError(problem, None, "unpack it to a plain .tar")
    file.seek(0)
    position = end = 0
    try:
        # "r:" reads uncompressed files only; other modes would guess.
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for count, member in enumerate(tar):
                if count >= MAX_FILES or member.size < 0 or member.offset_data <= position:
                    raise tarfile.ReadError("an impossible header")
                position = member.offset_data
                end = position + (-(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE if member.isreg() else 0)
                _check_member(member, path)
                if member.isreg():
                    yield posixpath.normpath(member.name), member
        # tarfile ends silently at a damaged header.
        file.seek(end)
        if file.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
            raise tarfile.ReadError(f"damaged or truncated after {end:,} bytes")
    except (tarfile.TarError, ValueError, OverflowError, MemoryError, RecursionError) as error:
        raise UserError(f"{path}: not a readable tar file ({error})", None, "copy or download it again") from None


def _check_member(member: tarfile.TarInfo, path: Path | str) -> None:
    if is_outside(member.name):
        raise UserError(f"{path}: {member.name!r} points outside the archive", None, "remove it from the archive")
    if not (member.isdir() or (member.isreg() and not member.issparse())):
        raise UserError(f"{path}: {member.name!r} is neither a file nor a folder", None, "remove it from the archive")
    if is_image(member.name) and member.size > MAX_FILE_BYTES:
        problem = f"{path}: {member.name}: {member.size:,} bytes, more than {MAX_FILE_BYTES:,}"
        raise UserError(problem, None, "remove it from the archive")


def _label(where: str, content: bytes) -> int | None:
    if where.endswith(".json"):
        try:
            record = json.loads(content)
        except (ValueError, RecursionError):
            raise UserError(f"{where}: not valid JSON", None, "repair or remove it") from None
        label = record.get("label") if isinstance(record, dict) else None
        return label if isinstance(label, int) and not isinstance(label, bool) and label in INT64 else None
    try:
        label = int(content)
        if label not in INT64:
            raise ValueError
        return label
    except ValueError:
        problem = f"{where}: {content[:20].decode(errors='replace')!r} is not an integer of 64 bits"
        raise UserError(problem, "labels", "set it to none, or replace the .cls members") from None


def read_at(file: BinaryIO, offset: int, size: int, path: Path | str) -> bytes:
    """Return bytes of an open file without moving its position, which threads and forked processes share.

    Raises:
        UserError: the file ends before.
    """
    content = os.pread(file.fileno(), size, offset)
    if len(content) < size:
        raise UserError(f"{path}: truncated", None, "copy or download it again")
    return content


def cached_index(path: Path | str, identity: str, cache: Path, opened: Callable[[], BinaryIO]) -> Index:
    """Return :func:`read_index`, from a file in the folder ``cache`` if that exists; otherwise it is written.

    Args:
        path: the tar file's path or URL, for error messages.
        identity: identifies the content of the tar file.
        cache: the folder.
        opened: opens the tar file.

    Raises:
        UserError: as :func:`read_index` does.
    """
    key = hashlib.blake2b(raw_name(f"{INDEX_VERSION} {identity}"), digest_size=16).hexdigest()
    place = cache / f"{key}.json"
    try:
        return Index(**json.loads(place.read_bytes()))
    except (OSError, ValueError, TypeError):  # missing, or damaged
        with opened() as file:
            index = read_index(file, path)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with whole(place) as part:
            part.write(json.dumps(index._asdict()).encode())
    except OSError as error:
        warnings.warn(f"{place}: cannot cache an index ({error.strerror}); set another cache_dir", stacklevel=2)
    return index
