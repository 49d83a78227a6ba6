"""Labels of files: from StyleGAN's dataset.json and from tables."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from saddlepoint.data import DataModule, ImageFolder
from saddlepoint.data.sources.image_set import ImageSet
from saddlepoint.errors import UserError

NAMES = [f"{i // 10:05d}/img{i:08d}.png" for i in range(30)]
CLASSES = {name: (7 * i) % 3 for i, name in enumerate(NAMES)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty images whose red value is their number, in the folders of StyleGAN's tools, which are not classes."""
    for value, name in enumerate(NAMES):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (value, 0, 9)).save(tmp_path / "set" / name)
    return tmp_path / "set"


def classes_of(root: Path, labels: str = "folders", **options: Any) -> dict[int, str]:
    """Return the class of each image by its number."""
    data = DataModule(ImageFolder(str(root), labels, **options), cache_dir=str(root.parent / "cache"))
    found = {}
    for split in ("train", "held_out"):
        images, indices = data.arrays(split)  # type: ignore[arg-type]
        assert indices is not None
        assert data.class_names is not None
        found |= {int(v): data.class_names[k] for v, k in zip(images[:, 0, 0, 0], indices, strict=True)}
    return found


EXPECTED = {number: str(CLASSES[name]) for number, name in enumerate(NAMES)}


def archive(folder: Path, labels: Any, prefix: str = "") -> Path:
    path = folder.parent / "stylegan.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in NAMES:
            file.write(folder / name, prefix + name)
        file.writestr(f"{prefix}dataset.json", labels if isinstance(labels, str) else json.dumps({"labels": labels}))
    return path


@pytest.mark.parametrize("prefix", ["", "afhq/"])
def test_the_labels_of_a_stylegan_archive(folder: Path, prefix: str) -> None:
    path = archive(folder, list(CLASSES.items()), prefix)
    assert classes_of(path) == EXPECTED
    module = DataModule(ImageSet(str(path)))
    assert module.class_names == ("0", "1", "2")
    assert "left out" not in module.summary()


def test_a_stylegan_archive_without_labels_has_no_classes(folder: Path) -> None:
    """Its folders are not classes."""
    assert DataModule(ImageFolder(str(archive(folder, None)))).class_names is None


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        (list(CLASSES.items())[:20], r"no label for 00002/img00000020.png and 9 more of 30 images"),
        ([[name, [0.0, 1.0]] for name in NAMES], r"the label of 00000/img00000000.png is \[0.0, 1.0\], several labels"),
        ([[name, 0.5] for name in NAMES], r"the label of 00000/img00000000.png is 0.5; give a name or an integer"),
        (NAMES, r"labels of another form; it should be \{\"labels\": \[\[\"name.png\", 0\], …\]\}"),
        ("{", r"dataset.json is not JSON"),
        ("[" * 100_000, r"dataset.json is not JSON \(maximum recursion depth exceeded"),
    ],
)
def test_incomplete_and_other_labels_of_archives_are_refused(folder: Path, labels: Any, named: str) -> None:
    with pytest.raises(UserError, match=named):
        ImageFolder(str(archive(folder, labels))).open()


def test_a_damaged_list_beside_images_that_are_only_scored_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match=r"no label for .*; correct dataset.json, or remove it") as caught:
        ImageSet(str(archive(folder, list(CLASSES.items())[:20]))).open()
    assert caught.value.key == "root"


def test_labels_are_part_of_the_digest(folder: Path) -> None:
    first = ImageFolder(str(archive(folder, list(CLASSES.items())))).open().digest
    swapped = {**CLASSES, NAMES[0]: 1, NAMES[1]: 0}
    assert ImageFolder(str(archive(folder, list(swapped.items())))).open().digest != first


FORMS = {
    "full": lambda name: name,
    "file": lambda name: name.split("/")[-1],
    "stem": lambda name: name.split("/")[-1].removesuffix(".png"),
    "windows": lambda name: name.replace("/", "\\"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("suffix", "delimiter"), [(".csv", ","), (".csv", ";"), (".tsv", "\t")])
def test_a_table_of_labels(folder: Path, form: str, suffix: str, delimiter: str) -> None:
    lines = [delimiter.join(("file_name", "size", "label"))]
    lines += [delimiter.join((FORMS[form](name), "12", f"kind {label}")) for name, label in CLASSES.items()]
    (folder / f"labels{suffix}").write_text("\ufeff" + "\n".join(lines))
    expected = {number: f"kind {CLASSES[name]}" for number, name in enumerate(NAMES)}
    assert classes_of(folder, str(folder / f"labels{suffix}")) == expected
    assert classes_of(folder, f"labels{suffix}") == expected  # beside the images


def test_rows_of_json_and_columns_by_name(folder: Path) -> None:
    lines = [json.dumps({"picture": name, "age": k, "label": "x"}) for name, k in CLASSES.items()]
    (folder / "meta.jsonl").write_text("\n".join(lines))
    assert classes_of(folder, "meta.jsonl", file_column="picture", label_column="age") == EXPECTED


@pytest.mark.parametrize(
    ("lines", "options", "named"),
    [
        (["file,class", *(f"{n},a|b" for n in NAMES)], {}, r"labels: .* is 'a\|b', several labels; give one label"),
        (["file,class", *(f"{n},a" for n in NAMES), f"{NAMES[3]},b"], {}, r"several labels for 0.*03.png, a and b"),
        (["file,class", *(f"{n},a" for n in NAMES[4:])], {}, r"no label for 00000/img00000000.png and 3 more"),
        (["file,class", *(f"{n}," for n in NAMES)], {}, r"is ''; give a name or an integer"),
        (
            ["file,kind", *(f"{n},a" for n in NAMES)],
            {},
            r"label_column: .* has no column label, .*; choose one of file",
        ),
        (
            ["file,class", *(f"{n},a" for n in NAMES)],
            {"file_column": "x"},
            r"file_column: .* has no column 'x'; choose",
        ),
    ],
)
def test_other_tables_are_refused(folder: Path, lines: list[str], options: dict[str, str], named: str) -> None:
    (folder / "labels.csv").write_text("\n".join(lines))
    with pytest.raises(UserError, match=named):
        ImageFolder(str(folder), "labels.csv", **options).open()


def test_names_that_two_images_share_are_refused(folder: Path) -> None:
    (folder / "00001" / "img00000000.png").write_bytes((folder / NAMES[10]).read_bytes())
    (folder / "labels.csv").write_text("\n".join(["file,class", *(f"{n.split('/')[-1]},a" for n in NAMES)]))
    with pytest.raises(UserError, match=r"'img00000000.png' may be 00000/img00000000.png or 00001/img00000000.png"):
        ImageFolder(str(folder), "labels.csv").open()


@pytest.mark.parametrize(
    ("given", "named"), [("no.csv", "no.csv: no such file, here or in"), ("folder", "not a valid value")]
)
def test_wrong_words_are_refused(folder: Path, given: str, named: str) -> None:
    with pytest.raises(UserError, match=named) as caught:
        ImageFolder(str(folder), given).open()
    assert caught.value.key == "labels"
