"""Images in tar files, in WebDataset's convention."""

from __future__ import annotations

import glob
import os
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import platformdirs

from saddlepoint.data.sources.base import Contents, FileColumn, Labels, Source, Table, digest
from saddlepoint.data.sources.classes import number_classes
from saddlepoint.data.sources.splits import HELD_OUT_NAMES, split_by_folders, split_by_hash
from saddlepoint.data.store import given_path, status
from saddlepoint.data.tar_index import sample_key
from saddlepoint.data.tars import Tars, index_shards
from saddlepoint.errors import UserError
from saddlepoint.types import Split

REMEDY = "give .tar files, as a pattern such as train-{000000..000009}.tar or train-*.tar, a folder or one file"
BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"(\d+)\.\.(\d+)")
SPLIT = re.compile(rf"(train|{'|'.join(HELD_OUT_NAMES)})(?![a-z])")
"""Beginning of the name of a shard, or of its folder, that says which split it belongs to."""
MAX_SHARDS = 1_000_000


class WebDataset(Source):
    """Images in tar files: members with the same name up to the first dot of its last component are one sample.

    The image of a sample is its member with the suffix of an image, and its label is the integer in its ``.cls``
    member, else ``label`` in its ``.json`` member. Samples without an image and all other members are ignored.

    If the names of shards, or those of their folders, begin with ``train`` and with one of ``held_out``, ``test``,
    ``val``, ``valid`` and ``validation``, these are the splits, unless ``held_out`` is given. Without them, the images
    whose name with their shard's hashes to 0 modulo 10 are held out.

    Args:
        root: the shards: a pattern with ``{000000..000009}``, ``{a,b}`` or ``*``, a folder of ``.tar`` files or a file.
        held_out: the held-out shards, likewise; None: see above.
        image: the suffix of the members that are used, such as ``jpg`` or ``seg.png``; None: that of the only image.
        labels: ``cls`` as above, or ``none`` to ignore labels.
        cache_dir: folder in which the indexes of shards are kept; None for the user's cache folder.
    """

    def __init__(
        self,
        root: str,
        held_out: str | None = None,
        image: str | None = None,
        labels: Literal["cls", "none"] = "cls",
        cache_dir: str | None = None,
    ):
        self.root, self.held_out, self.image, self.labels = root, held_out, image, labels
        self.cache = given_path(cache_dir or platformdirs.user_cache_dir("saddlepoint")) / "shards"
        self.name = _short_name(root)

    def open(self) -> Contents:
        """See :meth:`Source.open`."""
        train = self._store(self.root, "root")
        splits: dict[Split, tuple[Tars, Sequence[str]]]
        if self.held_out is not None:
            held_out = self._store(self.held_out, "held_out")
            splits = {"train": (train, self._images(train)), "held_out": (held_out, self._images(held_out))}
        else:
            names = self._images(train)
            chosen = split_by_folders(_by_split(names)) or split_by_hash({name: name for name in names}, train.path)
            splits = {split: (train, tuple(of.values())) for split, of in chosen.items()}
        classes, labels = self._labels(splits)
        tables = {
            split: [Table({"images": FileColumn(store, names)}, labels.get(split))]
            for split, (store, names) in splits.items()
        }
        return Contents(tables, classes, digest([*(store.digest(of) for store, of in splits.values()), self.labels]))

    def _store(self, pattern: str, key: str) -> Tars:
        paths = local_paths(pattern, key)
        folder = os.path.commonpath([path.parent for path in paths])
        named = {path.relative_to(folder).as_posix(): path for path in paths}
        return Tars(Path(pattern), index_shards(named, self.cache))

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


def _by_split(names: Iterable[str]) -> dict[str, str]:
    """Return the images keyed by their name below the folder of their split, if the names of shards say which it is."""
    found = {}
    for name in names:
        parts = name.split("/")
        split = next((match[1] for part in parts[:-1] if (match := SPLIT.match(part.lower()))), "")
        found[f"{split}/{name}"] = name
    return found


def expanded(pattern: str) -> list[str]:
    """Return the strings that a pattern with braces stands for, as in a shell.

    >>> expanded("{train,val}-{08..10}.tar")[:4]
    ['train-08.tar', 'train-09.tar', 'train-10.tar', 'val-08.tar']
    """
    match = BRACES.search(pattern)
    if match is None:
        return [pattern]
    if limits := RANGE.fullmatch(match[1]):
        first, last = (int(limit) for limit in limits.groups())
        if last - first >= MAX_SHARDS:
            raise UserError(f"{pattern}: more than {MAX_SHARDS:,} shards", None, "write a smaller range")
        width = len(limits[1]) if limits[1].startswith("0") else 1
        words = [f"{number:0{width}d}" for number in range(first, last + 1)]
    else:
        words = match[1].split(",")
    return [pattern[: match.start()] + word + rest for word in words for rest in expanded(pattern[match.end() :])]


def local_paths(pattern: str, key: str) -> list[Path]:
    """Return the paths of the shards that a pattern, folder or file stands for.

    Raises:
        UserError: there are none.
    """
    paths: list[Path] = []
    for one in expanded(pattern):
        path = given_path(one)
        if (found := status(path)) is None and glob.has_magic(one):
            paths += sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207 - Path.glob takes no absolute pattern
        elif found is not None and path.is_dir():
            paths += sorted(path.rglob("*.tar"))
        else:
            paths.append(path)
    if not paths:
        raise UserError(f"{pattern}: no .tar files", key, REMEDY)
    return paths


def _short_name(pattern: str) -> str:
    """Return a name for the data set, from its folder if the name of the file is nothing but a pattern.

    >>> _short_name("shards/cats-{000..009}.tar"), _short_name("shards/*.tar")
    ('cats', 'shards')
    """
    for part in reversed(pattern.rstrip("/").split("/")):
        if name := re.sub(r"\{[^{}]*\}|[*?]|\[[^]]*\]|\.tar$", "", part).strip("-_. "):
            return name
    return "shards"
