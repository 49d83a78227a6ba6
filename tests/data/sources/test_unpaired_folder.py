"""Two domains in one folder and in two folders."""

import shutil

import pytest
from PIL import Image

from saddlepoint.data import DataModule, ImageFolder, UnpairedFolder
from saddlepoint.errors import UserError


def save(folder, values, mode="L"):
    folder.mkdir(parents=True, exist_ok=True)
    for value in values:
        Image.new(mode, (4, 4), value if mode == "L" else (value, value, 0)).save(folder / f"{value}.png")


def seen(source, tmp_path):
    """Return {(split, domain): gray values of the images' first pixels}."""
    data = DataModule(source, cache_dir=str(tmp_path / "cache"))
    return {
        (split, domain): sorted(
            value for images, _ in data.uint8_batches(split, column=domain) for value in images[:, 0, 0, 0].tolist()
        )
        for split in ("train", "held_out")
        for domain in ("a", "b")
    }


@pytest.fixture
def domains(tmp_path):
    for name, values in (
        ("trainA", range(10)),
        ("trainB", range(20, 27)),
        ("testA", range(40, 43)),
        ("testB", range(60, 65)),
    ):
        save(tmp_path / "domains" / name, values)
    return tmp_path / "domains"


EXPECTED = {
    ("train", "a"): list(range(10)),
    ("train", "b"): list(range(20, 27)),
    ("held_out", "a"): [40, 41, 42],
    ("held_out", "b"): [60, 61, 62, 63, 64],
}


def test_one_root(domains, tmp_path):
    assert seen(UnpairedFolder(str(domains)), tmp_path) == EXPECTED
    shutil.make_archive(str(tmp_path / "zipped"), "zip", tmp_path, "domains")
    assert seen(UnpairedFolder(str(tmp_path / "zipped.zip")), tmp_path) == EXPECTED
    contents = UnpairedFolder(str(domains)).open()
    assert not contents.aligned
    assert contents.class_names is None


def test_two_folders_are_split_as_image_folders_are(tmp_path):
    save(tmp_path / "horses", range(60))
    save(tmp_path / "zebras", range(100, 140), mode="RGB")
    source = UnpairedFolder(a=str(tmp_path / "horses"), b=str(tmp_path / "zebras"))
    found = seen(source, tmp_path)
    assert source.name == "horses-zebras"
    for domain, folder in (("a", "horses"), ("b", "zebras")):
        alone = DataModule(ImageFolder(str(tmp_path / folder)), cache_dir=str(tmp_path / "cache"))
        for split in ("train", "held_out"):
            assert found[split, domain] == sorted(alone.arrays(split).samples[:, 0, 0, 0].tolist())


def test_two_folders_with_splits_of_their_own(domains, tmp_path):
    for side, split in (("A", "train"), ("A", "test"), ("B", "train"), ("B", "test")):
        shutil.copytree(domains / f"{split}{side}", tmp_path / side / split)
    assert seen(UnpairedFolder(a=str(tmp_path / "A"), b=str(tmp_path / "B")), tmp_path) == EXPECTED


def test_a_domain_without_held_out_folder_holds_out_a_tenth(tmp_path):
    save(tmp_path / "set" / "trainA", range(60))
    save(tmp_path / "set" / "trainB", range(60, 120))
    found = seen(UnpairedFolder(str(tmp_path / "set")), tmp_path)
    assert sorted(found["train", "a"] + found["held_out", "a"]) == list(range(60))
    assert sorted(found["train", "b"] + found["held_out", "b"]) == list(range(60, 120))


@pytest.mark.parametrize("given", ["", "a", "b", "root a", "root a b"])
def test_one_root_or_two_folders(given):
    with pytest.raises(UserError, match="either root alone or both a and b must be given") as caught:
        UnpairedFolder(**dict.fromkeys(given.split(), "somewhere")).open()
    assert caught.value.key == "root"


def test_what_is_missing_is_named(tmp_path):
    save(tmp_path / "horses", range(4))
    save(tmp_path / "one" / "trainA", range(4))
    with pytest.raises(UserError, match="no images of two domains") as caught:
        UnpairedFolder(str(tmp_path / "one")).open()
    assert caught.value.key == "root"
    with pytest.raises(UserError, match="nowhere: no such folder") as caught:
        UnpairedFolder(a=str(tmp_path / "horses"), b=str(tmp_path / "nowhere")).open()
    assert caught.value.key == "b"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images inside") as caught:
        UnpairedFolder(a=str(tmp_path / "empty"), b=str(tmp_path / "horses")).open()
    assert caught.value.key == "a"


def test_fingerprints_follow_content(domains, tmp_path):
    before = DataModule(UnpairedFolder(str(domains))).info.fingerprint
    shutil.copytree(domains, tmp_path / "copy")
    assert DataModule(UnpairedFolder(str(tmp_path / "copy"))).info.fingerprint == before
    for one, other in (("A", "C"), ("B", "A"), ("C", "B")):  # swaps the domains
        for split in ("train", "test"):
            (domains / f"{split}{one}").rename(domains / f"{split}{other}")
    assert DataModule(UnpairedFolder(str(domains))).info.fingerprint != before
