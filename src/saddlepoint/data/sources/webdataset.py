"""Images in tar files, in WebDataset's convention."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal
from urllib.request import url2pathname

import numpy as np
import platformdirs
from pydantic import PositiveFloat

from saddlepoint.data.downloads import Downloads
from saddlepoint.data.sources.base import Contents, FileColumn, Labels, Source, Table, digest
from saddlepoint.data.sources.classes import number_classes
from saddlepoint.data.sources.patterns import expanded, matching_files, short_name, split_of
from saddlepoint.data.sources.splits import split_by_folders, split_by_hash
from saddlepoint.data.store import given_path
from saddlepoint.data.stream import SHARDS_AT_ONCE
from saddlepoint.data.tar_index import sample_key
from saddlepoint.data.tars import Tars, index_shards
from saddlepoint.errors import UserError
from saddlepoint.types import Split

REMEDY = "give .tar files, as a pattern such as train-{000000..000009}.tar or train-*.tar, a folder or one file"
SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://|pipe:")


class WebDataset(Source):
    """Images in tar files: members with the same name up to the first dot of its last component are one sample.

    The image of a sample is its member with the suffix of an image, and its label is the integer in its ``.cls``
    member, else ``label`` in its ``.json`` member. Samples without an image and all other members are ignored.

    If the names of shards, or those of their folders, contain the words ``train`` and one of
    :data:`~saddlepoint.data.sources.splits.HELD_OUT_NAMES`, these are the splits, unless ``held_out`` is
    given. Without them, the images
    whose name with their shard's hashes to 0 modulo 10 are held out.

    Shards at URLs are downloaded whole when they are needed, and the order of training keeps the images of a few shards
    together, see :class:`~saddlepoint.data.stream.IndexStream`.

    Args:
        root: the shards: a pattern with ``{000000..000009}``, ``{a,b}`` or ``*``, a folder of ``.tar`` files or a file;
            or URLs with ``https:``, ``http:`` or ``file:``.
        held_out: the held-out shards, likewise; None: see above.
        image: the suffix of the members that are used, such as ``jpg`` or ``seg.png``; None: that of the only image.
        labels: ``cls`` as above, or ``none`` to ignore labels.
        cache_dir: folder in which indexes and downloaded shards are kept; None for the user's cache folder.
        cache_gb: limit on the downloaded shards that are kept, in 10⁹ bytes.
    """

    def __init__(
        self,
        root: str,
        held_out: str | None = None,
        image: str | None = None,
        labels: Literal["cls", "none"] = "cls",
        cache_dir: str | None = None,
        cache_gb: PositiveFloat = 20.0,
    ):
        self.root, self.held_out, self.image, self.labels = root, held_out, image, labels
        self.cache = given_path(cache_dir or platformdirs.user_cache_dir("saddlepoint"))
        self.downloads = Downloads(self.cache / "downloads", int(cache_gb * 1e9))
        self.name = short_name(root)

    def open(self) -> Contents:
        """See :meth:`Source.open`."""
        train = self._store(self.root, "root")
        splits: dict[Split, tuple[Tars, Sequence[str]]]
        if self.held_out is not None:
            held_out = self._store(self.held_out, "held_out")
            splits = {"train": (train, self._images(train)), "held_out": (held_out, self._images(held_out))}
        else:
            names = self._images(train)
            by_split = {f"{split_of(posixpath.dirname(name))}/{name}": name for name in names}
            chosen = split_by_folders(by_split) or split_by_hash({name: name for name in names}, train.path)
            splits = {split: (train, tuple(of.values())) for split, of in chosen.items()}
        classes, labels = self._labels(splits)
        tables = {
            split: [Table({"images": FileColumn(store, names)}, labels.get(split))]
            for split, (store, names) in splits.items()
        }
        return Contents(tables, classes, digest([*(store.digest(of) for store, of in splits.values()), self.labels]))

    def _store(self, pattern: str, key: str) -> Tars:
        locations = _locations(pattern, key)
        parts = [str(one).partition("?")[0] if "://" in str(one) else str(one) for one in locations]
        if len(set(parts)) < len(parts):  # URLs that differ in the query
            parts = [str(one) for one in locations]
        folder = os.path.commonpath([posixpath.dirname(one) for one in parts])
        named = {posixpath.relpath(part, folder): one for part, one in zip(parts, locations, strict=True)}
        store = Tars(Path(pattern), index_shards(named, self.cache / "shards", self.downloads))
        sizes = [shard.images.file_size for shard in store.shards if shard.downloads]
        needed = min(sum(sizes), 2 * SHARDS_AT_ONCE * max(sizes, default=0))
        if needed > self.downloads.limit:
            problem = f"{self.downloads.limit / 1e9:g} GB is too small for {2 * SHARDS_AT_ONCE} shards of {pattern}"
            raise UserError(problem, "cache_gb", f"set it to at least {needed / 1e9:.3g}")
        return store

    def _images(self, store: Tars) -> list[str]:
        """Return the names of the images, one of each sample."""
        names = store.names()
        if self.image is not None:
            names = [name for name in names if name.endswith(f".{self.image}")]
        if not names:
            problem = f"{store.path}: no images" + (f" with the suffix .{self.image}" if self.image else "")
            raise UserError(problem, "image" if self.image else "root", REMEDY)
        keys: dict[str, str] = {}
        for name in names:
            if (other := keys.setdefault(sample_key(name), name)) != name:
                problem = f"{store.path}: {other} and {posixpath.basename(name)} are images of one sample"
                raise UserError(problem, "image", f"set it to {_suffix(other)} or {_suffix(name)}")
        return names

    def _labels(
        self, splits: Mapping[Split, tuple[Tars, Sequence[str]]]
    ) -> tuple[tuple[str, ...] | None, dict[Split, Labels]]:
        if self.labels == "none":
            return None, {}
        found: dict[Split, Labels] = {}
        missing: list[str] = []
        for split, (store, names) in splits.items():
            labels = [store.label(name) for name in names]
            missing += [name for name, label in zip(names, labels, strict=True) if label is None]
            found[split] = np.array([label for label in labels if label is not None], dtype=np.int64)
        if not any(map(len, found.values())):
            return None, {}
        if missing:
            problem = f"{self.root}: {missing[0]} and {len(missing) - 1} more have no label, but others do"
            raise UserError(problem, "labels", "set it to none, or add .cls members")
        return number_classes(found)


def _suffix(name: str) -> str:
    return posixpath.basename(name).partition(".")[2]


def _locations(pattern: str, key: str) -> list[Path | str]:
    """Return the paths or the URLs of the shards that a pattern stands for.

    Raises:
        UserError: there are none, or the URL has another scheme.
    """
    match = SCHEME.match(pattern)
    if match is None:
        return [*matching_files(pattern, (".tar",), key, REMEDY)]
    scheme = match[1] or "pipe"
    if scheme == "file":
        return [*matching_files(url2pathname(pattern.removeprefix("file://")), (".tar",), key, REMEDY)]
    if scheme in ("http", "https"):
        return [*expanded(pattern)]
    reason = "runs a program, which data may not do" if scheme == "pipe" else "is not supported"
    raise UserError(f"{pattern}: {scheme}: {reason}", key, "give https: or http: addresses, or copies of the shards")
