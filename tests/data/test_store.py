"""Links in folders of data: all are followed, except loops."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from saddlepoint.data import ImageFolder
from saddlepoint.data.archive import Archive
from saddlepoint.data.store import Folder
from saddlepoint.errors import UserError

Nested = Callable[[Path], Path]


def test_a_split_that_is_a_link_to_another(nested: Nested, tmp_path: Path) -> None:
    nested(tmp_path / "pets" / "train")
    (tmp_path / "pets" / "val").symlink_to("train")
    contents = ImageFolder(str(tmp_path / "pets")).open()
    assert contents.class_names == ("cat", "dog", "eel")
    assert [len(contents.splits[split][0]) for split in ("train", "held_out")] == [60, 60]


def test_class_folders_that_are_links_to_one_folder(nested: Nested, tmp_path: Path) -> None:
    real = nested(tmp_path / "real") / "cat"
    (tmp_path / "a").mkdir()
    for name in ("one", "two"):
        (tmp_path / "a" / name).symlink_to(real)
    expected = [f"{name}/{index}.png" for name in ("one", "two") for index in range(20)]
    assert Folder(tmp_path / "a").names() == sorted(expected)
    assert ImageFolder(str(tmp_path / "a")).open().class_names == ("one", "two")


def test_backslashes_in_a_zip_file_separate_folders(tmp_path: Path) -> None:
    """As some programs on Windows write them."""
    picture = io.BytesIO()
    Image.new("L", (4, 4)).save(picture, "PNG")
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for split in ("train", "test"):
            archive.writestr(f"{split}\\", b"")
            for name in ("cat", "dog"):
                archive.writestr(f"{split}\\{name}\\0.png", picture.getvalue())
    contents = ImageFolder(str(tmp_path / "pets.zip")).open()
    assert contents.class_names == ("cat", "dog")
    assert [len(contents.splits[split][0]) for split in ("train", "held_out")] == [2, 2]
    assert Archive(tmp_path / "pets.zip").read("train/cat/0.png") == picture.getvalue()
    with zipfile.ZipFile(tmp_path / "pets.zip", "a") as archive:
        archive.writestr("train/cat/0.png", b"")
    with pytest.raises(UserError, match=r"train/cat/0.png is there twice, with slashes and with backslashes"):
        Archive(tmp_path / "pets.zip").names()


def test_loops_of_links_end(tmp_path: Path) -> None:
    """In a/up, the folder a is reached again, though it is no link there."""
    root, other = tmp_path / "top" / "a", tmp_path / "other"
    for folder in (root / "cat", other):
        folder.mkdir(parents=True)
        Image.new("L", (4, 4)).save(folder / "0.png")
    (root / "up").symlink_to(tmp_path / "top")
    (root / "cat" / "itself").symlink_to(root / "cat")
    (root / "other").symlink_to(other)
    (other / "back").symlink_to(root)
    assert Folder(root).names() == ["cat/0.png", "other/0.png"]
