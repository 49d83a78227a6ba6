"""Labels of image files: from class folders, from a ``dataset.json`` as in StyleGAN's archives, or from a table."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from saddlepoint.data.sources.folders import Found, refuse_in_classes
from saddlepoint.data.sources.splits import has_two_domains, inside_split
from saddlepoint.data.store import is_file, read_file
from saddlepoint.errors import UserError

Named = dict[str, str]
"""The class of each image, by its name in the store."""


class Classes(NamedTuple):
    """The classes of the images of a folder or zip file.

    Attributes:
        named: by the images' names in the store; None without labels.
        stated: whether they were read from a file, instead of from the names of folders.
        used: names in the store of the files that they were read from.
    """

    named: Named | None
    stated: bool = False
    used: tuple[str, ...] = ()


FILE_COLUMNS = ("file_name", "filename", "file", "image", "path", "name", "image_id", "id")
LABEL_COLUMNS = ("label", "labels", "class", "class_name", "category", "target", "y")
SUFFIXES = (".csv", ".tsv", ".jsonl")
SEPARATORS = "|;"
"""Characters that separate the labels of an image with several, as in the tables of ChestX-ray14."""

IMAGE_FOLDERS = frozenset({"image", "images", "img", "imgs", "jpegimages"})
MASK_FOLDERS = frozenset({
    "annotation", "annotations", "gt", "label", "labels", "mask", "masks", "segmentation", "segmentationclass",
})  # fmt: skip
"""Names of folders, in lower case, that hold images and their segmentations, and are not classes."""


def from_folders(found: Found, splits: Iterable[Mapping[str, str]], strict: bool = True) -> Classes:
    """Return the labels of a ``dataset.json``, or else the first folder of each image within its split.

    Args:
        found: the files.
        splits: the names in the store by the name within the split.
        strict: whether folders that are not classes, and other files in class folders, are an error. Otherwise such
            images have no labels, and such files are left out.

    Raises:
        UserError: a ``dataset.json`` has no label for an image; only some images are in folders; the folders hold two
            domains, or images and their masks; or a file in a class folder is not an image.
    """
    if stated := from_dataset_json(found):
        return stated
    inside = [item for files in splits for item in files.items()]
    flat = [name for name, _ in inside if "/" not in name]
    folders = sorted({name.split("/")[0] for name, _ in inside if "/" in name})
    if not folders or (not flat and {folder.lower() for folder in folders} <= IMAGE_FOLDERS):
        return Classes(None)
    if error := _no_classes(found, flat, folders):
        if strict:
            raise error
        return Classes(None)
    if strict:
        refuse_in_classes(found.store.path, [name for name in found.others if "/" in inside_split(name)])
    return Classes({stored: name.split("/")[0] for name, stored in inside})


def _no_classes(found: Found, flat: Sequence[str], folders: Sequence[str]) -> UserError | None:
    """Return why folders are not classes, or None if they are.

    Args:
        found: the files.
        flat: names of images outside of folders.
        folders: the first folders of the others.
    """
    path, small = found.store.path, {folder.lower() for folder in folders}
    if flat:
        problem = f"{path}: {flat[0]} and {len(flat) - 1} more are in no class folder, but others are"
        return UserError(problem, "labels", "move them, or set it to none")
    if has_two_domains(folders):
        remedy = f"set data=unpaired_folder, or data.root={path}/{folders[0]} for one of them"
        return UserError(f"{path}: {', '.join(folders)} hold two domains, not classes", "root", remedy)
    if small & IMAGE_FOLDERS and small - IMAGE_FOLDERS <= MASK_FOLDERS:
        images = next(folder for folder in folders if folder.lower() in IMAGE_FOLDERS)
        remedy = f"set it to the folder {images}, or set data=paired_folder for pairs"
        return UserError(f"{path}: {', '.join(folders)} hold images and masks, not classes", "root", remedy)
    return None


def from_dataset_json(found: Found) -> Classes | None:
    """Return the labels of a ``dataset.json`` beside the images, or None if there is none.

    The format is that of StyleGAN's tools: ``{"labels": [["00000/img00000000.png", 6], …]}`` or ``{"labels": null}``.

    Raises:
        UserError: it has no label for an image, or several.
    """
    stored = found.others.get("dataset.json")
    if stored is None:
        return None
    where = f"{found.store.path}: {stored}"
    try:
        content = json.loads(found.store.read(stored))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not JSON ({error})", None, "repair or remove it") from None
    if not isinstance(content, dict) or "labels" not in content:
        return None
    if content["labels"] is None:
        return Classes(None, True, (stored,))
    try:
        rows = [(str(name), value) for name, value in content["labels"]]
    except (TypeError, ValueError):
        remedy = 'it should be {"labels": [["name.png", 0], …]}'
        raise UserError(f"{where} has labels of another form", None, remedy) from None
    return Classes(_matched(found, rows, where), True, (stored,))


def from_table(found: Found, given: Path, file: str | None, label: str | None) -> Classes:
    """Return the labels of a table.

    Args:
        found: the files.
        given: a ``.csv``, ``.tsv`` or ``.jsonl`` file, in the working directory or beside the images.
        file: the column with names of images, with or without folders and suffixes; None: the first that exists of
            :data:`FILE_COLUMNS`.
        label: the column with labels; None: the first of :data:`LABEL_COLUMNS`.

    Raises:
        UserError: there is no such file or column, or an image has no label, or several.
    """
    if given.suffix.lower() not in SUFFIXES:
        remedy = "give folders, none, or a .csv, .tsv or .jsonl file"
        raise UserError(f"'{given}' is not a valid value", "labels", remedy)
    stored = None if is_file(given) else found.others.get(given.as_posix())
    if stored is None and not is_file(given):
        raise UserError(f"{given}: no such file, here or in {found.store.path}", "labels", "check the path")
    raw = read_file(given) if stored is None else found.store.read(stored)
    rows = list(_rows(raw, given))
    columns = list(dict.fromkeys(name for row in rows for name in row))
    file = _column(columns, file, FILE_COLUMNS, "file_column", given)
    label = _column(columns, label, LABEL_COLUMNS, "label_column", given)
    named = _matched(found, [(str(row.get(file)), row.get(label)) for row in rows], str(given))
    return Classes(named, True, () if stored is None else (stored,))


def _rows(raw: bytes, path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = raw.decode("utf-8-sig").splitlines()
        if path.suffix.lower() == ".jsonl":
            yield from (dict(json.loads(line)) for line in lines if line.strip())
            return
        delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=lines[0].count) if lines else ","
        yield from csv.DictReader(lines, delimiter=delimiter, restkey="further cells")
    except (ValueError, TypeError, RecursionError, csv.Error) as error:
        raise UserError(f"{path}: not a readable table ({error})", "labels", "save it as UTF-8") from None


def _column(columns: Sequence[str], asked: str | None, usual: Sequence[str], key: str, path: Path) -> str:
    if asked is not None:
        chosen = asked if asked in columns else None
    else:
        by_lower = {column.strip().lower(): column for column in columns}
        chosen = next((by_lower[name] for name in usual if name in by_lower), None)
    if chosen is None:
        wanted = f"'{asked}'" if asked is not None else ", ".join(usual)
        remedy = f"choose one of {', '.join(columns)}" if columns else "the file is empty"
        raise UserError(f"{path} has no column {wanted}", key, remedy)
    return chosen


def _matched(found: Found, rows: Sequence[tuple[str, Any]], where: str) -> Named:
    """Return the class of each image, given rows (name, label) in which names may lack folders and suffixes."""
    exact = {
        name: [stored] for name, stored in (*found.images.items(), *((file, file) for file in found.images.values()))
    }
    rows = [(name.replace("\\", "/").removeprefix("./"), value) for name, value in rows]
    loose = {} if all(name in exact for name, _ in rows) else _by_shorter_names(found.images)
    named: Named = {}
    for name, value in rows:
        matches = exact.get(name) or loose.get(name, ())
        if len(matches) > 1:
            problem = f"{where}: '{name}' may be {matches[0]} or {matches[1]}"
            raise UserError(problem, "labels", "write the names with their folders and suffixes")
        for stored in matches:
            if named.setdefault(stored, text := _one_label(value, name, where)) != text:
                problem = f"{where}: several labels for {name}, {named[stored]} and {text}"
                raise UserError(problem, "labels", "give one label for each image, or set it to none")
    if missing := [name for name, stored in found.images.items() if stored not in named]:
        problem = f"{where}: no label for {missing[0]} and {len(missing) - 1} more of {len(found.images)} images"
        raise UserError(problem, "labels", "add them, or set it to none")
    return named


def _by_shorter_names(images: Mapping[str, str]) -> Mapping[str, Sequence[str]]:
    """Return the images that each name without folders, the split or the suffix may mean."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, stored in images.items():
        shorter = {inside_split(name), name.split("/")[-1]}
        for key in shorter | {str(PurePosixPath(full).with_suffix("")) for full in (name, stored, *shorter)}:
            found[key].append(stored)
    return found


def _one_label(value: Any, name: str, where: str) -> str:
    if isinstance(value, list | dict) or (isinstance(value, str) and any(mark in value for mark in SEPARATORS)):
        problem = f"{where}: the label of {name} is {value!r}, several labels"
        raise UserError(problem, "labels", "give one label for each image, or set it to none")
    if value is None or isinstance(value, float) or str(value).strip() == "":
        raise UserError(f"{where}: the label of {name} is {value!r}", "labels", "give a name or an integer")
    return str(value).strip()
