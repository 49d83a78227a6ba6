"""Pairs in one file and in two folders: halves, matching names, splits, and errors."""

import shutil

import numpy as np
import pytest
from PIL import Image

from saddlepoint.data import DataModule, PairedFolder
from saddlepoint.data.sources.paired_folder import by_side
from saddlepoint.errors import UserError


def save(path, *values, width=4, mode="L"):
    """Return an image of vertical stripes, each of one gray value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stripes = np.repeat(np.array([values], dtype=np.uint8), width, axis=1)
    Image.fromarray(np.repeat(stripes, 3, axis=0)).convert(mode).save(path)


def seen(root, split="train", **options):
    """Return {(input, target)} as the gray values of their first pixels."""
    data = DataModule(PairedFolder(str(root), **options), cache_dir=str(root.parent / "cache"))
    columns = [next(data.uint8_batches(split, column=name))[0][:, 0, 0, 0].tolist() for name in ("inputs", "targets")]
    return set(zip(*columns, strict=True))


@pytest.fixture
def side_by_side(tmp_path):
    for split, first in (("train", 0), ("val", 100), ("other", 200)):
        for index in range(first, first + 5):
            save(tmp_path / "set" / split / f"{index}.png", index, index + 50)
    return tmp_path / "set"


@pytest.mark.parametrize("zipped", [False, True])
def test_the_left_half_is_a_and_the_right_half_is_b(side_by_side, tmp_path, zipped):
    root = side_by_side
    if zipped:
        shutil.make_archive(str(tmp_path / "set"), "zip", tmp_path, "set")
        root = tmp_path / "set.zip"
    assert seen(root) == {(i, i + 50) for i in range(5)}
    assert seen(root, direction="b_to_a") == {(i + 50, i) for i in range(5)}
    assert seen(root, "held_out") == {(i, i + 50) for i in range(100, 105)}


def test_the_middle_of_an_odd_width_is_in_neither_half(tmp_path):
    for index in range(4):
        save(tmp_path / "set" / f"{index}.png", 1, 1, 9, 2, 2, width=1)
    data = DataModule(PairedFolder(str(tmp_path / "set")), cache_dir=str(tmp_path / "cache"))
    assert data.info.columns == {"inputs": (1, 3, 2), "targets": (1, 3, 2)}
    batch = data.batch("train", 0, 4)
    assert batch.inputs.unique().tolist() == pytest.approx([1 / 127.5 - 1])
    assert batch.targets.unique().tolist() == pytest.approx([2 / 127.5 - 1])


@pytest.mark.parametrize("fit", ["pad", "resize"])
def test_a_file_of_one_pixel_is_named(tmp_path, fit):
    for index in range(4):
        save(tmp_path / "set" / f"{index}.png", 1, width=1)
    data = DataModule(PairedFolder(str(tmp_path / "set")), 8, fit, 1, cache_dir=str(tmp_path / "cache"))
    with pytest.raises(UserError, match=r"\d\.png: 1 pixel wide"):
        data.batch("train", 0, 4)


@pytest.mark.parametrize(
    "place",
    [
        "{split}{side}/{name}",
        "{split}/{side}/{name}",
        "{side}/{split}/{name}",
        "wrap/{split}{side}/{name}",
    ],
)
@pytest.mark.parametrize("sides", ["AB", "ab"])
def test_folders_match_by_name_whatever_the_suffix(tmp_path, place, sides):
    for split, first in (("train", 0), ("test", 100)):
        for index in range(first, first + 5):
            a, b = (place.format(split=split, side=side, name=index) for side in sides)
            save(tmp_path / "set" / f"{a}.png", index)
            save(tmp_path / "set" / f"{b}.bmp", index + 50)
    assert seen(tmp_path / "set", layout="folders") == {(i, i + 50) for i in range(5)}
    assert seen(tmp_path / "set", "held_out", layout="folders") == {(i, i + 50) for i in range(100, 105)}
    assert seen(tmp_path / "set", layout="folders", direction="b_to_a") == {(i + 50, i) for i in range(5)}


def test_columns_have_channels_of_their_own(tmp_path):
    for index in range(4):
        save(tmp_path / "set" / "a" / f"{index}.png", index)
        save(tmp_path / "set" / "b" / f"{index}.png", index, mode="RGB")
    data = DataModule(PairedFolder(str(tmp_path / "set"), "folders"), cache_dir=str(tmp_path / "cache"))
    assert data.info.columns == {"inputs": (1, 3, 4), "targets": (3, 3, 4)}


def test_pairs_without_split_folders_are_split_by_hash_and_stay_together(tmp_path):
    for index in range(60):
        save(tmp_path / "set" / "a" / f"{index}.png", index)
        save(tmp_path / "set" / "b" / f"{index}.png", index + 100)
    train, held_out = (seen(tmp_path / "set", split, layout="folders") for split in ("train", "held_out"))
    assert train | held_out == {(i, i + 100) for i in range(60)}
    assert not train & held_out
    assert 2 <= len(held_out) <= 15


def test_by_side_uses_the_first_folder_of_a_side():
    names = ["trainA/a/1.png", "b/x/2.png", "validationB/3.png", "c/4.png", "a.png", "testC/5.png"]
    a, b = by_side({name: name for name in names})
    assert a == {"train/a/1.png": "trainA/a/1.png"}
    assert b == {"x/2.png": "b/x/2.png", "validation/3.png": "validationB/3.png"}


def refusal(root, layout="folders"):
    with pytest.raises(UserError) as caught:
        PairedFolder(str(root), layout).open()
    return caught.value


def test_images_without_counterpart_are_named(tmp_path):
    for name in ("a/1", "a/2", "a/3", "b/1"):
        save(tmp_path / f"{name}.png", 1)
    error = refusal(tmp_path)
    assert error.key == "root"
    assert "a/2.png and 1 more have no counterpart" in error.problem


def test_names_that_differ_only_in_their_suffix_are_refused(tmp_path):
    for name in ("a/1.png", "b/1.png", "b/1.bmp"):
        save(tmp_path / name, 1)
    assert "b/1.bmp and b/1.png differ only in their suffix" in refusal(tmp_path).problem


def test_missing_sides_and_images_are_named(tmp_path):
    assert "no images inside" in refusal(tmp_path).problem
    save(tmp_path / "train" / "1.png", 1)
    assert "no folders for the sides a and b" in refusal(tmp_path).problem
    assert "one image cannot be split" in refusal(tmp_path, "side_by_side").problem
    assert refusal(tmp_path / "nowhere").key == "root"


def test_fingerprints_follow_layout_and_direction(side_by_side):
    directions = [
        DataModule(PairedFolder(str(side_by_side), direction=way)).info.fingerprint for way in ("a_to_b", "b_to_a")
    ]
    assert directions[0] != directions[1]


def test_real_facades(data_root):
    """The inputs are labels, the right halves; the targets are photographs, the left halves."""
    if not (data_root / "facades").is_dir():
        pytest.skip("SADDLEPOINT_DATA has no facades")
    source = PairedFolder(str(data_root / "facades"), direction="b_to_a")
    data = DataModule(source, 64, "resize", memory_limit_gb=0)
    assert data.info.columns == {"inputs": (3, 64, 64), "targets": (3, 64, 64)}
    batch, files = data.batch("held_out", 0, 9), source.open().columns("held_out")["inputs"]
    for index in range(9):
        image = Image.open(files.store.path / files.names[index])
        half, height = image.width // 2, image.height
        for box, got in (((half, 0, 2 * half, height), batch.inputs), ((0, 0, half, height), batch.targets)):
            expected = np.asarray(image.crop(box).resize((64, 64), Image.Resampling.BICUBIC))
            assert np.array_equal(((got[index] + 1) * 127.5).round().permute(1, 2, 0).numpy(), expected)
