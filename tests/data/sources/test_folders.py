"""Folders as people have them: what is understood of them is said, and what is not understood is refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from saddlepoint.data import DataModule, ImageFolder, PairedFolder, UnpairedFolder
from saddlepoint.data.sources.image_set import ImageSet
from saddlepoint.errors import UserError


def encoded(value: int, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (value, value, value // 2)).save(file, kind, **options)
    return file.getvalue()


KINDS = {".png": "PNG", ".tif": "TIFF", ".gif": "GIF", ".jpg": "JPEG"}


def make(root: Path, names: list[str]) -> Path:
    """Write a file for each name: an image if its suffix is known."""
    for value, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = KINDS.get(path.suffix.lower())
        path.write_bytes(b"other" if kind is None else encoded(value % 256, kind))
    return root


def opened(root: Path, **options: Any) -> DataModule:
    return DataModule(ImageFolder(str(root), **options), cache_dir=str(root.parent / "cache"))


def numbered(folder: str, suffix: str, n: int = 10) -> list[str]:
    return [f"{folder}/{i}{suffix}" for i in range(n)]


def test_classes_of_every_format_are_read(tmp_path: Path) -> None:
    names = [name for folder, suffix in zip("abcd", KINDS, strict=True) for name in numbered(folder, suffix)]
    assert opened(make(tmp_path / "four", names)).info.class_names == ("a", "b", "c", "d")


def test_other_files_in_class_folders_are_an_error_unless_they_are_ignored(tmp_path: Path) -> None:
    """Without it, four classes would become two."""
    names = [*numbered("a", ".png"), *numbered("b", ".png"), *numbered("c", ".svg"), *numbered("d", ".PSD", 7)]
    root = make(tmp_path / "four", [*names, "c/README"])
    with pytest.raises(UserError) as caught:
        opened(root).inspect()
    assert str(caught.value) == (
        f"{root}: 18 file(s) in class folders cannot be read as images (.svg 10, .psd 7, no suffix 1); "
        "convert or remove them, or set data.source.ignore=[.svg,.psd,README]"
    )
    data = opened(root, ignore=[".svg", ".psd", "README"])
    assert data.info.class_names == ("a", "b")
    assert "left out" not in data.summary()


def test_images_can_be_ignored_by_pattern(tmp_path: Path) -> None:
    root = make(tmp_path / "a", ["1.png", "2.png", "3.png", "1_mask.png", "2_mask.png", "x.gif"])
    assert sum(opened(root, ignore=["*_mask.*", ".GIF"]).info.sizes.values()) == 3


def test_one_line_says_what_was_understood(tmp_path: Path) -> None:
    names = [name for folder in ("cat", "dog") for name in numbered(f"Train/{folder}", ".png")]
    names += [*numbered("Test/cat", ".png", 3), *numbered("Val/cat", ".png", 2), "notes.txt", "b.txt"]
    assert opened(make(tmp_path / "pets", names)).summary() == (
        "pets: 23 images of 4x4, 2 classes (cat, dog), 20 train, 3 held out; left out: 4 files (.txt 2, Val/ 2)"
    )
    flat = make(tmp_path / "flat", [f"{i}.png" for i in range(4)])
    assert opened(flat).summary() == "flat: 4 images of 4x4, 2 train, 2 held out"
    whole = DataModule(ImageSet(str(flat)))
    assert whole.summary() == "flat: 4 images of 4x4"


def test_lines_about_pairs_and_domains(tmp_path: Path) -> None:
    names = [f"{folder}/{i}.png" for folder in ("trainA", "trainB", "testA", "testB") for i in range(3)]
    root = make(tmp_path / "two", [*names, "trainB/9.png", "note.txt"])
    unpaired = DataModule(UnpairedFolder(str(root)))
    assert unpaired.summary() == (
        "two: 6 + 7 images of two domains of 4x4, 3 + 4 train, 3 + 3 held out; left out: 1 file (.txt 1)"
    )
    (root / "trainB" / "9.png").unlink()
    paired = DataModule(PairedFolder(str(root), layout="folders"))
    assert paired.summary() == "two: 6 pairs of images of 4x4, 3 train, 3 held out; left out: 1 file (.txt 1)"


@pytest.mark.parametrize(("train", "held_out"), [("Train", "Test"), ("training", "testing"), ("TRAIN", "dev")])
def test_splits_have_several_names(tmp_path: Path, train: str, held_out: str) -> None:
    names = [*numbered(f"{train}/a", ".png"), *numbered(f"{train}/b", ".png"), *numbered(f"{held_out}/a", ".png", 4)]
    info = opened(make(tmp_path / "a", names)).info
    assert (info.class_names, info.sizes) == (("a", "b"), {"train": 20, "held_out": 4})


@pytest.mark.parametrize("folders", [("trainA", "trainB", "testA", "testB"), ("train_a", "train_b")])
def test_two_domains_are_not_classes(tmp_path: Path, folders: tuple[str, ...]) -> None:
    root = make(tmp_path / "horse2zebra", [name for folder in folders for name in numbered(folder, ".png", 3)])
    with pytest.raises(UserError, match="hold two domains, not classes; set data=unpaired_folder") as caught:
        opened(root).inspect()
    assert caught.value.key == "source.root"
    assert opened(root, labels="none").info.class_names is None


@pytest.mark.parametrize("prefix", ["", "train/"])
def test_images_and_masks_are_not_classes(tmp_path: Path, prefix: str) -> None:
    names = [*numbered(f"{prefix}Images", ".png", 3), *numbered(f"{prefix}masks", ".png", 3)]
    names += numbered("test/Images", ".png", 3) if prefix else []
    with pytest.raises(
        UserError, match="Images, masks hold images and masks, not classes; set it to the folder Images"
    ):
        opened(make(tmp_path / "cells", names)).inspect()


@pytest.mark.parametrize(
    "names", [["trainA/1.png", "trainB/2.png"], ["images/1.png", "masks/1.png"], ["cat/1.png", "stray.png"]]
)
def test_images_that_are_only_scored_need_no_classes(tmp_path: Path, names: list[str]) -> None:
    data = DataModule(ImageSet(str(make(tmp_path / "a", [*names, "trainA/notes.txt"]))))
    assert (data.info.class_names, data.info.sizes["train"]) == (None, 2)
    assert data.summary() == "a: 2 images of 4x4; left out: 1 file (.txt 1)"


def test_a_folder_of_images_beside_their_annotations_is_no_class(tmp_path: Path) -> None:
    """The layout of YOLO."""
    names = [*numbered("train/images", ".png", 5), *numbered("train/labels", ".txt", 5)]
    data = opened(make(tmp_path / "a", [*names, *numbered("valid/images", ".png", 2)]))
    assert data.info.class_names is None
    assert data.summary() == "a: 7 images of 4x4, 5 train, 2 held out; left out: 5 files (.txt 5)"


def test_classes_named_by_numbers_are_ordered_by_value(tmp_path: Path) -> None:
    names = [name for folder in ("1", "2", "3", "10") for name in numbered(folder, ".png", 5)]
    data = opened(make(tmp_path / "numbers", names))
    assert data.info.class_names == ("1", "2", "3", "10")
    images, labels = data.arrays("train")
    assert labels is not None
    assert {(int(v) // 5, int(k)) for v, k in zip(images[:, 0, 0, 0], labels, strict=True)} == {
        (k, k) for k in range(4)
    }


def test_a_folder_without_images_says_what_is_inside(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no images inside, only \.svg 2, \.txt 1; give a folder or zip file of PNG"):
        opened(make(tmp_path / "a", ["1.svg", "2.svg", "3.txt"])).inspect()


def test_files_of_several_frames_are_counted(tmp_path: Path) -> None:
    root = make(tmp_path / "a", ["1.gif", "2.tif", "3.png", "4.tif"])
    frames = [Image.new("L", (4, 4), value) for value in (1, 2, 3)]
    for name in ("5.gif", "6.tif"):
        frames[0].save(root / name, save_all=True, append_images=frames[1:])
    assert opened(root).notices() == ["2 TIFF or GIF file(s) of a have several pages or frames; the first is used"]


def test_what_is_said_of_a_zip_is_that_of_its_folder(tmp_path: Path) -> None:
    names = [*numbered("pets/cat", ".png"), *numbered("pets/dog", ".tif"), "pets/notes.txt", "pets/$RECYCLE.BIN/1.png"]
    root = make(tmp_path / "b", names)
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for name in names:
            archive.write(root / name, name)
    assert opened(tmp_path / "pets.zip").summary() == opened(root / "pets").summary()
    assert "left out: 1 file (.txt 1)" in opened(root / "pets").summary()


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_alpha_in_an_array_is_composited_on_white_as_in_files(tmp_path: Path, suffix: str) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(6, 4, 4, 4), dtype=np.uint8)
    path = tmp_path / f"a{suffix}"
    if suffix == ".npz":
        np.savez(path, images=pixels)
    else:
        np.save(path, pixels)
    (tmp_path / "files").mkdir()
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "files" / f"{i}.png")
    from_array, from_files = (DataModule(ImageSet(str(p))) for p in (path, tmp_path / "files"))
    assert from_array.info.shape == (3, 4, 4)
    assert np.array_equal(next(from_array.uint8_batches("train"))[0], next(from_files.uint8_batches("train"))[0])
