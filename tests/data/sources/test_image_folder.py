"""Folders and zip files of images: nested, flat, split, in outer folders, with other files, corrupt."""

import io
import shutil
import stat
import zipfile

import numpy as np
import pytest
from PIL import Image

from saddlepoint.data import DataModule, ImageFolder
from saddlepoint.data import archive as archive_module
from saddlepoint.data import store as store_module
from saddlepoint.errors import UserError


def png(value, size=(4, 4)):
    file = io.BytesIO()
    Image.new("RGB", size, (value, value, value // 2)).save(file, "PNG")
    return file.getvalue()


def make(root, names, content=png):
    for value, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(value))
    return root


def archive(folder, path, prefix="", method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as file:
        for item in sorted(folder.rglob("*")):
            if item.is_file():
                file.write(item, prefix + item.relative_to(folder).as_posix())
    return path


def seen(root, **options):
    """Return {split: {(pixel value, class name)}} as read through a data module."""
    data = DataModule(ImageFolder(str(root), **options), cache_dir=str(root.parent / "cache"))
    result = {}
    for split in ("train", "held_out"):
        samples, labels = data.arrays(split)
        classes = data.class_names
        names = [None] * len(samples) if labels is None else [classes[label] for label in labels]
        result[split] = set(zip(samples[:, 0, 0, 0].tolist(), names, strict=True))
    return result


NESTED = [f"{animal}/{i}.png" for animal in ("cat", "dog", "eel") for i in range(20)]


def test_class_folders_are_labels(tmp_path):
    result = seen(make(tmp_path / "pets", NESTED))
    assert result["train"] | result["held_out"] == {(i, NESTED[i][:3]) for i in range(60)}
    assert not result["train"] & result["held_out"]
    assert 1 <= len(result["held_out"]) <= 15


def test_flat_folders_have_no_labels(tmp_path):
    data = DataModule(ImageFolder(str(make(tmp_path / "flat", ["1.png", "2.png"]))), cache_dir=str(tmp_path / "c"))
    assert data.info.class_names is None
    assert data.info.num_classes == 0
    assert data.info.sizes == {"train": 1, "held_out": 1}  # at least one on each side
    assert data.info.name == "flat"


def test_labels_can_be_ignored(tmp_path):
    assert {label for _, label in seen(make(tmp_path / "a", NESTED), labels="none")["train"]} == {None}


@pytest.mark.parametrize("prefix", ["", "pets/", "download/pets/"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_has_the_content_of_its_folder(tmp_path, prefix, method):
    folder = make(tmp_path / "pets", NESTED)
    assert seen(archive(folder, tmp_path / "pets.zip", prefix, method)) == seen(folder)


def test_the_split_is_fixed_and_adding_images_moves_none(tmp_path):
    before = seen(make(tmp_path / "a", NESTED))
    after = seen(make(tmp_path / "b", [*NESTED, *(f"fox/{i}.png" for i in range(20))]))
    for split in ("train", "held_out"):
        assert before[split] <= after[split]


def test_a_tenth_is_held_out(tmp_path):
    names = [f"{i}.png" for i in range(2000)]
    contents = ImageFolder(str(make(tmp_path / "many", names, lambda _: b""))).open()
    assert abs(len(contents.splits["held_out"][0]) - 200) < 5 * (2000 * 0.1 * 0.9) ** 0.5


@pytest.mark.parametrize("n", [4, 5, 10, 40])
def test_both_splits_have_two_images(tmp_path, n):
    contents = ImageFolder(str(make(tmp_path / "few", [f"{i}.png" for i in range(n)], lambda _: b""))).open()
    sizes = [len(contents.splits[split][0]) for split in ("train", "held_out")]
    assert min(sizes) >= 2
    assert sum(sizes) == n


@pytest.mark.parametrize("held_out", ["test", "val", "held_out", "valid", "validation", "dev", "Test", "TESTING"])
def test_split_folders_are_the_splits(tmp_path, held_out):
    names = ["train/cat/1.png", "train/dog/2.png", f"{held_out}/cat/3.png"]
    expected = {"train": {(0, "cat"), (1, "dog")}, "held_out": {(2, "cat")}}
    assert seen(make(tmp_path / "a", names)) == expected
    assert seen(archive(tmp_path / "a", tmp_path / "a.zip", "a/")) == expected


def test_train_may_be_a_class(tmp_path):
    result = seen(make(tmp_path / "a", [f"{kind}/{i}.png" for kind in ("bus", "train") for i in range(5)]))
    assert {label for _, label in result["train"] | result["held_out"]} == {"bus", "train"}


def test_hidden_and_system_folders_are_ignored(tmp_path):
    folder = make(tmp_path / "a", NESTED)
    clean = seen(folder)
    litter = [".DS_Store", "readme.txt", "__MACOSX/cat/._1.png", "cat/.hidden.png", ".git/x.png", "cat/Thumbs.db"]
    litter += [f"{name}/1.png" for name in ("$RECYCLE.BIN", "System Volume Information", "@eaDir", "cat/@eaDir")]
    make(folder, litter, lambda _: b"litter")
    assert seen(folder) == clean
    assert seen(archive(folder, tmp_path / "a.zip")) == clean


def test_suffixes_of_any_case_and_every_format(tmp_path):
    for kind, suffix in {"PNG": "PNG", "JPEG": "Jpg", "WEBP": "webp", "BMP": "BMP"}.items():
        (tmp_path / "a").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (250, 250, 250)).save(tmp_path / "a" / f"{kind}.{suffix}", kind)
    Image.new("RGB", (8, 8)).save(tmp_path / "a" / "five.jpeg", "JPEG")
    assert sum(DataModule(ImageFolder(str(tmp_path / "a"))).info.sizes.values()) == 5


def test_links_to_folders_are_followed_once(tmp_path):
    real = make(tmp_path / "real", ["1.png", "2.png"])
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "linked").symlink_to(real)
    (real / "loop").symlink_to(tmp_path / "a")
    assert ImageFolder(str(tmp_path / "a")).open().columns("train")["images"].names[0].endswith(".png")


@pytest.mark.parametrize("name", ["nowhere", "nowhere.zip"])
def test_missing_data_is_named(tmp_path, name):
    with pytest.raises(
        UserError, match=rf"{name}: no such folder or zip file; give a folder or zip file of PNG"
    ) as caught:
        ImageFolder(str(tmp_path / name)).open()
    assert caught.value.key == "root"


def test_empty_folders_other_files_and_single_images_are_named(tmp_path):
    with pytest.raises(UserError, match=r"no images inside; give a folder"):
        ImageFolder(str(tmp_path)).open()
    (tmp_path / "a.zip").write_text("not a zip")
    with pytest.raises(UserError, match=r"a\.zip: neither a folder nor a zip file"):
        ImageFolder(str(tmp_path / "a.zip")).open()
    with pytest.raises(UserError, match="one image cannot be split"):
        ImageFolder(str(make(tmp_path / "one", ["1.png"]))).open()


def test_images_beside_class_folders_are_named(tmp_path):
    with pytest.raises(UserError, match=r"stray\.png and 0 more are in no class folder, but others are") as caught:
        ImageFolder(str(make(tmp_path / "a", [*NESTED, "stray.png"]))).open()
    assert (caught.value.key, caught.value.remedy) == ("labels", "move them, or set it to none")
    with pytest.raises(UserError) as caught:
        DataModule(ImageFolder(str(tmp_path / "a"))).inspect()
    assert caught.value.key == "source.labels"


def test_a_corrupt_image_is_named(tmp_path):
    folder = make(tmp_path / "a", NESTED)
    (folder / "dog" / "3.png").write_bytes(png(3)[:50])
    for root in (folder, archive(folder, tmp_path / "a.zip")):
        with pytest.raises(UserError, match=r"dog/3\.png: corrupt image"):
            seen(root)


def test_a_truncated_or_damaged_zip_is_named(tmp_path):
    path = archive(make(tmp_path / "a", NESTED), tmp_path / "a.zip", method=zipfile.ZIP_STORED)
    raw = path.read_bytes()
    (tmp_path / "half.zip").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(UserError, match=r"half\.zip: neither a folder nor a zip file"):
        ImageFolder(str(tmp_path / "half.zip")).open()
    damaged = raw.replace(png(25), png(26))  # other bytes of the same length under the old CRC
    assert len(damaged) == len(raw)
    assert damaged != raw
    (tmp_path / "damaged.zip").write_bytes(damaged)
    with pytest.raises(UserError, match=r"damaged\.zip:dog/5\.png: cannot be unpacked \(Bad CRC"):
        seen(tmp_path / "damaged.zip")


@pytest.mark.parametrize(
    ("at", "content", "reason"),
    [(6, b"\x5a\x00", "zip file version 9.0"), (8, b"\x00\x08", "can't decode byte 0xff")],
    ids=["version", "name"],
)
def test_a_zip_that_python_cannot_list_is_named(tmp_path, at, content, reason):
    """In the central directory, the required version is at offset 6, the flag for UTF-8 names at offset 8."""
    path = archive(make(tmp_path / "a", ["1.png", "22.png"]), tmp_path / "a.zip")
    raw = bytearray(path.read_bytes())
    entry = raw.rindex(b"PK\x01\x02")
    raw[entry + at : entry + at + 2] = content
    raw[entry + 46] = 0xFF  # the name's first byte
    path.write_bytes(raw)
    with pytest.raises(UserError, match=r"a\.zip: not a readable zip file .*; copy or download it again") as caught:
        ImageFolder(str(path)).open()
    assert reason in str(caught.value)


def test_zip_members_are_bounded(tmp_path, monkeypatch):
    path = archive(make(tmp_path / "a", NESTED), tmp_path / "a.zip")
    monkeypatch.setattr(archive_module, "MAX_FILE_BYTES", 10)
    with pytest.raises(UserError, match="bytes unpacked, more than 10"):
        seen(path)
    monkeypatch.setattr(archive_module, "MAX_FILES", 5)
    with pytest.raises(UserError, match="60 members, more than 5"):
        ImageFolder(str(path)).open()


OUTSIDE = ["../../evil.png", "/evil.png", "a/../../evil.txt", "..\\evil.png", "C:\\evil.png", "link"]


@pytest.mark.parametrize("evil", OUTSIDE)
def test_members_that_point_outside_an_archive_are_refused(tmp_path, evil):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for name in ("1.png", "2..png", ".../3.png", evil):
            member = zipfile.ZipInfo(name)
            member.external_attr = (stat.S_IFLNK if name == "link" else stat.S_IFREG) << 16
            file.writestr(member, png(1))
    with pytest.raises(UserError, match=r"a\.zip: '.*(evil|link).*' points outside the archive"):
        ImageFolder(str(tmp_path / "a.zip")).open()


def test_fingerprints_depend_on_content_not_location(tmp_path):
    def fingerprint(root, **options):
        return DataModule(ImageFolder(str(root)), **options).info.fingerprint

    folder = make(tmp_path / "a", NESTED)
    shutil.copytree(folder, tmp_path / "b")
    assert fingerprint(folder) == fingerprint(tmp_path / "b")
    for options in ({"image_size": 8}, {"image_size": 8, "fit": "resize"}, {"channels": 1}):
        assert fingerprint(folder, **options) != fingerprint(folder)
    assert fingerprint(folder, flip=True) == fingerprint(folder)
    (tmp_path / "b" / "dog" / "3.png").write_bytes(png(99))
    assert fingerprint(folder) != fingerprint(tmp_path / "b")
    one, other = archive(folder, tmp_path / "a.zip"), archive(tmp_path / "b", tmp_path / "b.zip")
    assert fingerprint(one) != fingerprint(other)


def test_large_folders_are_sampled(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "HASH_WHOLE_BYTES", 0)
    monkeypatch.setattr(store_module, "HASH_SAMPLE_FILES", 2)
    folder = make(tmp_path / "a", NESTED)
    before = ImageFolder(str(folder)).open().digest
    (folder / "cat" / "0.png").write_bytes(png(123))  # the first is in the sample
    assert ImageFolder(str(folder)).open().digest != before


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16", "1", "LA"])
def test_mixed_modes_and_sizes_are_unified(tmp_path, mode):
    rng = np.random.default_rng(0)
    (tmp_path / "a").mkdir()
    for i, (height, width) in enumerate([(9, 20), (40, 17), (16, 16)]):
        image = Image.fromarray(rng.integers(256, size=(height, width, 4), dtype=np.uint8))
        gray = image.convert("L")
        converted = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
        converted.save(tmp_path / "a" / f"{i}.png")
    data = DataModule(ImageFolder(str(tmp_path / "a")), image_size=[12, 16], fit="crop", cache_dir=str(tmp_path / "c"))
    channels = 3 if mode in ("RGB", "RGBA", "P") else 1
    assert data.info.shape == (channels, 12, 16)
    assert data.arrays("train").samples.shape == (2, channels, 12, 16)


def test_names_that_are_not_utf8(tmp_path):
    """On old systems, names may be encoded in Latin-1, which is not valid UTF-8."""
    for value in range(6):
        folder = tmp_path.joinpath("set", ("caf\udce9", "th\u00e9 \u8336")[value % 2])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"na\udcefve{value}.png").write_bytes(png(value))
    data = DataModule(ImageFolder(str(tmp_path / "set")), cache_dir=str(tmp_path / "cache"))
    info = data.inspect()
    assert info.class_names == ("caf\udce9", "th\u00e9 \u8336")
    assert sum(info.sizes.values()) == 6
    assert sum(len(images) for split in info.sizes for images, _ in data.uint8_batches(split)) == 6
