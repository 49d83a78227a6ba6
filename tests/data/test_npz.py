"""Images and points in .npz files: what is read, and errors in one line."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from saddlepoint.data.npz import holds_points, read_images, read_points
from saddlepoint.data.sources.image_set import ImageSet
from saddlepoint.errors import UserError

GRAY = np.arange(2 * 4 * 5, dtype=np.uint8).reshape(2, 4, 5)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(("key", "channels"), [("images", None), ("arr_0", None), ("images", 1), ("images", 3)])
def test_both_keys_and_both_layouts(tmp_path: Path, key: str, channels: int | None, compressed: bool) -> None:
    values = GRAY if channels is None else np.repeat(GRAY[..., None], channels, axis=3)
    (np.savez_compressed if compressed else np.savez)(tmp_path / "x.npz", **{key: values})
    images, labels = read_images(tmp_path / "x.npz")
    assert images.shape == (2, 4, 5, channels or 1)
    assert (images[..., 0] == GRAY).all()
    assert labels is None


def test_labels_become_classes_in_their_order(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=np.concatenate([GRAY, GRAY]), labels=np.array([7, 3, 7, 3], dtype=np.uint8))
    contents = ImageSet(str(tmp_path / "x.npz")).open()
    assert contents.class_names == ("3", "7")
    labels = contents.splits["train"][0].labels
    assert labels is not None
    assert labels.tolist() == [1, 0, 1, 0]
    assert len(contents.splits["held_out"][0]) == 0


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no images": ({"pictures": GRAY}, "contains pictures; it must contain images"),
    "floats": ({"images": GRAY.astype(np.float32)}, "images is of type float32; save uint8"),
    "NaN": ({"images": np.full((2, 4, 4), np.nan)}, "images is of type float64; save uint8"),
    "objects": ({"images": np.array([GRAY, None], dtype=object)}, "images is of type object; save uint8"),
    "channels first": ({"images": np.zeros((2, 3, 8, 8), np.uint8)}, "move the channels to the end"),
    "two channels": ({"images": np.zeros((2, 8, 8, 2), np.uint8)}, "C must be 1, 3 or 4"),
    "one image alone": ({"images": GRAY[0]}, r"images has shape \[4, 5\]"),
    "empty": ({"images": GRAY[:0]}, r"images has shape \[0, 4, 5\]"),
    "labels too few": ({"images": GRAY, "labels": np.zeros(1, int)}, r"labels are int64 \[1\]; save integers \[2\]"),
    "labels no numbers": ({"images": GRAY, "labels": np.array(["a", "b"])}, "save integers"),
}


@pytest.mark.parametrize("name", BAD)
def test_other_contents_are_reported_in_one_line(tmp_path: Path, name: str) -> None:
    arrays, line = BAD[name]
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(UserError, match=line) as caught:
        read_images(tmp_path / "x.npz")
    assert "\n" not in str(caught.value)
    assert "x.npz" in str(caught.value)


def test_an_array_larger_than_memory_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive, archive.open("images.npy", "w") as member:
        header = {"descr": "|u1", "fortran_order": False, "shape": (10**9, 1000, 1000)}
        np.lib.format.write_array_header_1_0(member, header)
    with pytest.raises(UserError, match="GB unpacked, this machine has"):
        read_images(tmp_path / "x.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"\x93NUMPY"])
def test_corrupt_files_are_reported_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(UserError, match="not a readable"):
        read_images(tmp_path / "x.npz")
    with pytest.raises(UserError, match="no such file"):
        read_images(tmp_path / "y.npz")


def test_points_are_finite_floats(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", points=np.ones((3, 2)))
    assert holds_points(tmp_path / "x.npz")
    assert read_points(tmp_path / "x.npz").tolist() == [[1.0, 1.0]] * 3
    np.savez(tmp_path / "x.npz", points=np.array([[1.0, np.nan]]))
    with pytest.raises(UserError, match="NaN or infinite"):
        read_points(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", points=np.ones(3))
    with pytest.raises(UserError, match=r"points are float64 \[3\]; save floats"):
        read_points(tmp_path / "x.npz")


@pytest.mark.parametrize("splits", [False, True])
def test_a_folder_is_one_split_unless_its_splits_are_requested(tmp_path: Path, splits: bool) -> None:
    for index, name in enumerate(["train/a/0.png", "train/b/1.png", "test/a/2.png"]):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), index).save(path)
    contents = ImageSet(str(tmp_path), splits).open()
    assert {split: len(tables[0]) for split, tables in contents.splits.items()} == (
        {"train": 2, "held_out": 1} if splits else {"train": 3, "held_out": 0}
    )
    assert contents.class_names == (("a", "b") if splits else ("test", "train"))


def test_a_name_that_is_too_long_is_reported_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / f"{'x' * 300}.npz"
    for look in (holds_points, read_images):
        with pytest.raises(UserError, match=r"x\.npz: cannot be read \(File name too long\); check the path$"):
            look(path)
