"""Images in the data sets of the ``datasets`` library: parquet and Arrow files, or a name on the Hugging Face hub."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saddlepoint.data.arrow_rows import ArrowRows
from saddlepoint.data.sources.base import Contents, FileColumn, Labels, Source, Table, digest
from saddlepoint.data.sources.classes import number_classes
from saddlepoint.data.sources.patterns import matching_files, short_name, split_of
from saddlepoint.data.sources.splits import HELD_OUT_NAMES, split_by_folders, split_by_hash
from saddlepoint.data.store import given_path, status
from saddlepoint.errors import UserError, choose
from saddlepoint.types import Split

if TYPE_CHECKING:
    from datasets import Dataset

INSTALL = 'pip install "saddlepoint[huggingface]"'
SUFFIXES = (".parquet", ".arrow")
REMEDY = "give .parquet or .arrow files, as a file, a folder or a pattern, or a name on the hub such as org/name"
HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
# The library's readers of images. Others run programs of their own formats, which images do not need.
READERS = ("parquet", "arrow", "imagefolder", "webdataset")
IMAGES = ("image", "img")
LABELS = ("label", "labels")
NO_LABELS = "none"


class HuggingFace(Source):
    """Images of a data set that the ``datasets`` library reads, which maps its tables into memory.

    If the names of files, or those of their folders, contain the words ``train`` and one of
    :data:`~saddlepoint.data.sources.splits.HELD_OUT_NAMES`, these are the splits; those of a data set
    on the hub are its own. Without them, the rows whose number hashes to 0 modulo 10 are held out.

    Args:
        root: a ``.parquet`` or ``.arrow`` file, a pattern of such files, a folder, or a name on the hub.
        subset: of a data set on the hub that has several; None: its only or default one.
        held_out: name of the held-out split of a data set on the hub; None: the first of those above.
        image: name of the column of images; None: the only one, or ``image`` or ``img``.
        label: name of the column of labels; None: the only column of classes, or integers called ``label`` or
            ``labels``; ``none`` for no labels.
        cache_dir: folder for the library's tables; None for its own cache folder.
    """

    def __init__(
        self,
        root: str,
        subset: str | None = None,
        held_out: str | None = None,
        image: str | None = None,
        label: str | None = None,
        cache_dir: str | None = None,
    ):
        self.root, self.subset, self.held_out, self.image, self.label = root, subset, held_out, image, label
        self.cache_dir = None if cache_dir is None else str(given_path(cache_dir) / "huggingface")
        self.name = short_name(root)

    def open(self) -> Contents:
        """See :meth:`Source.open`."""
        datasets = self._splits()
        first = next(iter(datasets.values()))
        image, label = self._image_column(first), self._label_column(first)
        stores = {split: ArrowRows(Path(self.root), dataset, image) for split, dataset in datasets.items()}
        classes, labels = self._labels(datasets, label) if label else (None, {})
        tables = {
            split: Table({"images": FileColumn(store, store.names())}, labels.get(split))
            for split, store in stores.items()
        }
        content = [store.digest(store.names()) for store in stores.values()]
        if "held_out" not in tables:
            tables = self._hashed(tables["train"])
        return Contents(
            {split: [table] for split, table in tables.items()},
            classes,
            digest([*content, *(labels[split] for split in sorted(labels))]),
        )

    def _hashed(self, table: Table) -> dict[Split, Table]:
        rows = split_by_hash({str(row): row for row in range(len(table))}, Path(self.root))
        return {split: table.take(np.array(list(of.values()), dtype=np.int64)) for split, of in rows.items()}

    # Files

    def _splits(self) -> dict[Split, Dataset]:
        """Return the data set's splits; only "train" if there is no held-out one."""
        found = self._load()
        held_out = self.held_out or next((name for name in HELD_OUT_NAMES if name in found), None)
        train = "train" if "train" in found or len(found) > 1 else next(iter(found))
        for name, key in ((train, "root"), (held_out, "held_out")):
            if name is not None and name not in found:
                raise UserError(f"{self.root} has no split {name!r}", key, choose(name, found))
        splits: dict[Split, Dataset] = {"train": found[train]}
        return splits if held_out in (None, train) else {**splits, "held_out": found[str(held_out)]}

    def _load(self) -> Mapping[str, Dataset]:
        try:
            import datasets
        except ImportError:
            raise UserError("needs the library datasets, which is not installed", None, INSTALL) from None
        datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # errors are shown below, in one line
        if not sys.stderr.isatty():
            datasets.disable_progress_bars()
        files = self._files()
        try:
            builder = datasets.load_dataset_builder(cache_dir=self.cache_dir, **files)
            reader = type(builder).__module__.rpartition(".")[2]
            if reader in READERS:
                builder.download_and_prepare()
                found: Mapping[str, Dataset] = builder.as_dataset()
                return found
        except Exception as error:  # of many types: of the library, of pyarrow, of the hub's client and of the network
            cause = error.__cause__ or error
            reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
            raise UserError(f"{self.root}: cannot be read ({reason})", "root", REMEDY) from None
        problem = f"{self.root}: its files are read by {reader!r}, not by {', '.join(READERS)}"
        raise UserError(problem, "root", REMEDY)

    def _files(self) -> dict[str, Any]:
        """Return the library's arguments for local files or for a name on the hub."""
        path = given_path(self.root)
        if status(path) is None and HUB_NAME.fullmatch(self.root) and path.suffix not in SUFFIXES:
            return {"path": self.root, "name": self.subset}
        paths = matching_files(self.root, SUFFIXES, "root", REMEDY)
        folder = os.path.commonpath([one.parent for one in paths])
        by_split = {f"{split_of(one.relative_to(folder).as_posix())}/{one}": str(one) for one in paths}
        splits = split_by_folders(by_split) or {"train": {str(one): str(one) for one in paths}}
        kind = "parquet" if paths[0].suffix == ".parquet" else "arrow"
        names = {"train": "train", "held_out": "test"}
        return {"path": kind, "data_files": {names[split]: list(of.values()) for split, of in splits.items()}}

    # Columns

    def _image_column(self, dataset: Dataset) -> str:
        found = [name for name, feature in dataset.features.items() if _holds_images(feature)]
        image = self._column("image", dataset, self.image, found, IMAGES)
        if image is None:
            problem = f"{self.root}: no column of encoded images among {', '.join(dataset.column_names)}"
            raise UserError(problem, "root", "store them as binary, or as structs of bytes and path")
        return image

    def _label_column(self, dataset: Dataset) -> str | None:
        if self.label == NO_LABELS:
            return None
        numbers = [name for name, feature in dataset.features.items() if _holds_integers(feature)]
        classes = [name for name in numbers if hasattr(dataset.features[name], "names")]
        usual = [name for name in numbers if name in LABELS]
        return self._column("label", dataset, self.label, numbers if self.label else classes or usual, LABELS)

    def _column(
        self, key: str, dataset: Dataset, asked: str | None, found: Sequence[str], usual: Sequence[str]
    ) -> str | None:
        """Return the column that is asked for, else the only one of ``found``, or the first with a usual name."""
        if asked is not None:
            if asked not in found:
                there = "has another type" if asked in dataset.column_names else "is not a column"
                raise UserError(f"{asked!r} {there}", key, choose(asked, found))
            return asked
        if len(found) < 2:
            return found[0] if found else None
        named = [name for name in usual if name in found]
        if not named:
            raise UserError(f"{self.root} has several: {', '.join(found)}", key, "set it to one of these")
        return named[0]

    def _labels(
        self, found: Mapping[Split, Dataset], column: str
    ) -> tuple[tuple[str, ...] | None, dict[Split, Labels]]:
        labels: dict[Split, Labels] = {}
        for split, dataset in found.items():
            values = dataset.data.column(column)
            if values.null_count:
                problem = f"{self.root}: {values.null_count:,} rows of {column} have no label"
                raise UserError(problem, "label", "set it to none, or remove these rows")
            labels[split] = values.to_numpy().astype(np.int64)
        feature = next(iter(found.values())).features[column]
        if not hasattr(feature, "names"):
            return number_classes(labels)
        for split, own in labels.items():
            if len(own) and (own.min() < 0 or own.max() >= len(feature.names)):
                problem = (
                    f"{self.root}: {column} of the {split} split has values that are no class, such as {own.min()}"
                )
                raise UserError(problem, "label", "set it to none, or held_out to another split")
        return tuple(feature.names), labels


def _holds_images(feature: Any) -> bool:
    """Return whether a column holds images of the library, binary values, or structs with ``bytes``."""
    import datasets

    if isinstance(feature, dict):
        return "bytes" in feature
    return isinstance(feature, datasets.Image) or getattr(feature, "dtype", None) in ("binary", "large_binary")


def _holds_integers(feature: Any) -> bool:
    """Return whether a column holds integers, which those of classes are."""
    return str(getattr(feature, "dtype", "")).startswith(("int", "uint"))
