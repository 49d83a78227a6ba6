"""Held-out files that are copies of training files: counts in folders, archives, pairs and arrays."""

import logging
import zipfile

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from saddlepoint.assembly.build import build_data
from saddlepoint.data import Digits, ImageFolder, PairedFolder, copies
from saddlepoint.data.copies import count_copies


@pytest.fixture
def folder(tmp_path):
    """Ten training images and five held-out ones; of these, 0, 1 and 2 are copies, 2 under another name."""
    rng = np.random.default_rng(0)
    for split, numbers in (("train", range(10)), ("val", range(5))):
        (tmp_path / "images" / split).mkdir(parents=True)
        for number in numbers:
            noise = Image.fromarray(rng.integers(256, size=(4, 8, 3), dtype=np.uint8))
            noise.save(tmp_path / "images" / split / f"{number}.bmp")  # all of one size in bytes
    for trained, held_out in ((0, 0), (1, 1), (7, 2)):
        raw = (tmp_path / "images" / "train" / f"{trained}.bmp").read_bytes()
        (tmp_path / "images" / "val" / f"{held_out}.bmp").write_bytes(raw)
    return tmp_path / "images"


def test_copies_in_a_folder(folder):
    assert count_copies(ImageFolder(str(folder)).open(), "images") == 3


def test_copies_in_an_archive(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for file in folder.rglob("*.bmp"):
            archive.write(file, file.relative_to(folder))
    assert count_copies(ImageFolder(str(tmp_path / "images.zip")).open(), "images") == 3


def test_copies_of_pairs_side_by_side_are_counted_once(folder):
    assert count_copies(PairedFolder(str(folder)).open(), "targets") == 3


def test_no_copies(folder):
    for number in (0, 1, 2):
        (folder / "val" / f"{number}.bmp").unlink()
    assert count_copies(ImageFolder(str(folder)).open(), "images") == 0


def test_arrays_and_much_data_are_not_compared(folder, monkeypatch):
    assert count_copies(Digits().open(), "images") is None
    monkeypatch.setattr(copies, "COMPARED_BYTES", 15 * (folder / "val" / "0.bmp").stat().st_size)
    assert count_copies(ImageFolder(str(folder)).open(), "images") == 3
    monkeypatch.setattr(copies, "COMPARED_BYTES", copies.COMPARED_BYTES - 1)
    assert count_copies(ImageFolder(str(folder)).open(), "images") is None


def test_the_user_is_warned(folder, caplog):
    source = {"_target_": "saddlepoint.data.ImageFolder", "root": str(folder)}
    config = OmegaConf.create({"data": {"_target_": "saddlepoint.data.DataModule", "source": source}, "plugins": []})
    with caplog.at_level(logging.WARNING):
        build_data(config)
    assert [entry.getMessage() for entry in caplog.records] == [
        "3 of the 5 held-out images of images are copies of training images, so scores against them are too good"
    ]
