"""Data sets of torchvision: tiny files in its layouts, checksums, and missing files."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torchvision
from PIL import Image

from saddlepoint.data import DataModule, KnownFolder, Torchvision
from saddlepoint.data.sources.base import Contents, FileColumn
from saddlepoint.data.sources.torchvision_data import KINDS
from saddlepoint.errors import UserError

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # a closed port: downloads fail at once
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)


def write(path: Path, content: bytes) -> tuple[str, str]:
    """Write a file, and return its name and MD5 as torchvision lists them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path.name, hashlib.md5(content).hexdigest()


def mat(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    scipy.io.savemat(stream, arrays)
    return stream.getvalue()


def picture(path: Path, width: int = 20, height: int = 24) -> np.ndarray:
    """Write random pixels without loss under any name, and return them."""
    pixels = RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "PNG")
    return pixels


def cifar100(root: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    folder, written = root / "cifar-100-python", {}
    lists = {}
    for name, count in (("train", 6), ("test", 3)):
        images = RANDOM.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        entry = {"data": images.transpose(0, 3, 1, 2).reshape(count, -1), "fine_labels": list(range(count))}
        lists[name] = [list(write(folder / name, pickle.dumps(entry)))]
        written[name] = images, range(count)
    name, md5 = write(folder / "meta", pickle.dumps({"fine_label_names": [f"kind {i}" for i in range(100)]}))
    patch.setattr(torchvision.datasets.CIFAR100, "train_list", lists["train"])
    patch.setattr(torchvision.datasets.CIFAR100, "test_list", lists["test"])
    patch.setattr(torchvision.datasets.CIFAR100, "meta", {"filename": name, "key": "fine_label_names", "md5": md5})
    return written


def svhn(root: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    written, listed = {}, {}
    for name, labels in (("train", [1, 10, 3, 2]), ("test", [9, 10, 1])):
        images = RANDOM.integers(0, 256, (len(labels), 32, 32, 3), dtype=np.uint8)
        content = mat(X=images.transpose(1, 2, 3, 0), y=np.array(labels, dtype=np.uint8)[:, None])
        listed[name] = ["http://127.0.0.1:9/", *write(root / f"{name}_32x32.mat", content)]
        written[name] = images, [label % 10 for label in labels]
    patch.setattr(torchvision.datasets.SVHN, "split_list", listed)
    return written


def stl10(root: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    folder, written, listed = root / "stl10_binary", {}, {}
    for name, count in (("train", 4), ("unlabeled", 5), ("test", 3)):
        images = RANDOM.integers(0, 256, (count, 96, 96, 3), dtype=np.uint8)
        listed[name] = [list(write(folder / f"{name}_X.bin", images.transpose(0, 3, 2, 1).tobytes()))]
        if name != "unlabeled":
            listed[name].append(list(write(folder / f"{name}_y.bin", bytes(range(1, count + 1)))))
        written[name] = images, range(count)
    (folder / "class_names.txt").write_text("\n".join(f"kind {i}" for i in range(10)))
    patch.setattr(torchvision.datasets.STL10, "train_list", [*listed["train"], *listed["unlabeled"]])
    patch.setattr(torchvision.datasets.STL10, "test_list", listed["test"])
    return written


ARRAYS: dict[str, tuple[Callable[..., dict[str, Any]], str, int]] = {
    "cifar100": (cifar100, "train", 100),
    "svhn": (svhn, "train", 10),
    "stl10": (stl10, "unlabeled", 0),
    "stl10_labelled": (stl10, "train", 10),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_are_those_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    make, train, classes = ARRAYS[name]
    written = make(tmp_path, monkeypatch)
    contents = Torchvision(str(tmp_path), name).open()
    assert len(contents.class_names or ()) == classes
    for split, part in (("train", train), ("held_out", "test")):
        table = contents.splits[split][0]  # type: ignore[index]
        assert np.array_equal(table.columns["images"], written[part][0])
        assert (table.labels is None) if not classes else table.labels.tolist() == list(written[part][1])


class Harmful:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["cifar-100-python/train", "cifar-100-python/test", "cifar-100-python/meta"])
def test_a_file_with_another_checksum_is_not_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    cifar100(tmp_path, monkeypatch)
    (tmp_path / name).write_bytes(pickle.dumps(Harmful(tmp_path / "harm")))
    with pytest.raises(UserError, match=r"CIFAR100 is missing there or damaged, .*; copy its files there") as caught:
        Torchvision(str(tmp_path), "cifar100").open()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("name", KINDS)
def test_missing_files_are_one_line_and_leave_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        UserError, match=r"is missing there or damaged, and the download failed \(.+\); copy its"
    ) as caught:
        Torchvision(str(tmp_path / "data"), name).open()
    assert "\n" not in str(caught.value)
    assert caught.value.key == "root"
    assert list(tmp_path.rglob("*")) == []


def test_an_unknown_name_is_answered_with_the_names(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown data set 'svnh'; did you mean 'svhn'"):
        Torchvision(str(tmp_path), "svnh").open()


def celeba(root: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    folder, split = root / "celeba", {0: "train", 1: "valid", 2: "test"}
    names = [f"{i:06d}.jpg" for i in range(1, 10)]
    written: dict[str, Any] = {"train": {}, "valid": {}, "test": {}}
    for i, name in enumerate(names):
        written[split[i % 3]][f"celeba/img_align_celeba/{name}"] = picture(folder / "img_align_celeba" / name, 20, 24)
    rows = {
        "list_eval_partition.txt": [f"{name} {i % 3}" for i, name in enumerate(names)],
        "identity_CelebA.txt": [f"{name} 1" for name in names],
        "list_bbox_celeba.txt": ["9", "image_id x", *(f"{name} 1" for name in names)],
        "list_landmarks_align_celeba.txt": ["9", "x", *(f"{name} 1" for name in names)],
        "list_attr_celeba.txt": ["9", "Smiling", *(f"{name} -1" for name in names)],
    }
    listed = [("id", *reversed(write(folder / name, "\n".join(lines).encode()))) for name, lines in rows.items()]
    patch.setattr(torchvision.datasets.CelebA, "file_list", listed)
    return {"train": written["train"], "held_out": written["test"]}


def omniglot(root: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    written: dict[str, Any] = {}
    sums = {}
    for split, folder in (("train", "images_background"), ("held_out", "images_evaluation")):
        path = root / "omniglot-py" / folder
        written[split] = {
            f"omniglot-py/{folder}/Latin/character0{i}/{i}.png": picture(path / "Latin" / f"character0{i}" / f"{i}.png")
            for i in range(4)
        }
        sums[folder] = hashlib.md5(Path(shutil.make_archive(str(path), "zip", path)).read_bytes()).hexdigest()
    patch.setattr(torchvision.datasets.Omniglot, "zips_md5", sums)
    return written


def flowers102(root: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    folder, ids = root / "flowers-102", range(1, 13)
    files = {"image": ("102flowers.tgz", "")}
    files["label"] = write(folder / "imagelabels.mat", mat(labels=np.array([[i % 3 + 1 for i in ids]])))
    sets = mat(trnid=np.array([[1, 2, 3]]), valid=np.array([[4, 5]]), tstid=np.array([[*range(6, 13)]]))
    files["setid"] = write(folder / "setid.mat", sets)
    patch.setattr(torchvision.datasets.Flowers102, "_file_dict", files)
    names = {i: f"flowers-102/jpg/image_{i:05d}.jpg" for i in ids}
    return {"all": {name: (picture(root / name), i % 3) for i, name in names.items()}}


def food101(root: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for split, file in (("train", "train"), ("held_out", "test")):
        listed = {food: [f"{food}/{file}{i}" for i in range(2)] for food in ("pie", "rice")}
        (root / "food-101" / "meta").mkdir(parents=True, exist_ok=True)
        (root / "food-101" / "meta" / f"{file}.json").write_text(json.dumps(listed))
        written[split] = {
            f"food-101/images/{name}.jpg": (picture(root / "food-101" / "images" / f"{name}.jpg"), label)
            for label, names in enumerate(listed.values())
            for name in names
        }
    return written


def dtd(root: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    folder = root / "dtd" / "dtd"
    (folder / "labels").mkdir(parents=True)
    written: dict[str, Any] = {"train": {}, "held_out": {}}
    for part, split in (("train", "train"), ("val", "train"), ("test", "held_out")):
        names = [f"{kind}/{kind}_{part}.jpg" for kind in ("dotted", "woven")]
        (folder / "labels" / f"{part}1.txt").write_text("\n".join(names))
        for label, name in enumerate(names):
            written[split][f"dtd/dtd/images/{name}"] = picture(folder / "images" / name), label
    return written


def eurosat(root: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    names = [f"eurosat/2750/{kind}/{kind}_{i}.jpg" for kind in ("Forest", "River") for i in range(8)]
    return {"all": {name: (picture(root / name), int("River" in name)) for name in names}}


FILES = {
    "celeba": celeba,
    "omniglot": omniglot,
    "flowers102": flowers102,
    "food101": food101,
    "dtd": dtd,
    "eurosat": eurosat,
}


def found(contents: Contents, split: Any) -> dict[str, int | None]:
    table = contents.splits[split][0]
    column = table.columns["images"]
    assert isinstance(column, FileColumn)
    labels = [None] * len(table) if table.labels is None else table.labels.tolist()
    return dict(zip(column.names, labels, strict=True))


@pytest.mark.parametrize("name", FILES)
def test_files_and_labels_are_those_of_the_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    written = FILES[name](tmp_path, monkeypatch)
    contents = Torchvision(str(tmp_path), name).open()
    there = {split: found(contents, split) for split in ("train", "held_out")}
    if "all" in written:  # a tenth is held out by hash
        assert len(there["held_out"]) >= 2
        assert not there["train"].keys() & there["held_out"].keys()
        written, there = {"train": written["all"]}, {"train": there["train"] | there["held_out"]}
    for split, files in written.items():
        labels = {file: value[1] if isinstance(value, tuple) else None for file, value in files.items()}
        assert there[split] == labels
    assert (contents.class_names is None) == (name in ("celeba", "omniglot"))


@pytest.mark.parametrize("fit", ["pad", "resize"])
def test_a_square_is_cut_from_the_centre_before_fitting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fit: Any
) -> None:
    """With ``pad``, the headers are read, whose sizes must be those of the square."""
    written = celeba(tmp_path, monkeypatch)
    size = None if fit == "pad" else 10
    data = DataModule(
        Torchvision(str(tmp_path), "celeba", crop=10), size, fit, channels=3, cache_dir=str(tmp_path / "c")
    )
    assert data.info.shape == (3, 10, 10)
    images = data.arrays("train").samples.permute(0, 2, 3, 1).numpy()
    assert np.array_equal(images, np.stack([pixels[7:17, 5:15] for pixels in written["train"].values()]))
    large = DataModule(
        Torchvision(str(tmp_path), "celeba", crop=21), 10, fit, channels=3, cache_dir=str(tmp_path / "c")
    )
    with pytest.raises(UserError, match=r"\d.jpg: 24x20 is smaller than 21x21; reduce it") as caught:
        large.arrays("train")
    assert caught.value.key == "source.crop"


def test_arrays_are_not_cropped(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="svhn is an array, and only files are cropped; remove it"):
        Torchvision(str(tmp_path), "svhn", crop=8).open()


def test_a_known_folder_says_where_it_can_be_obtained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="afhq: no such folder or zip file; download it from its page") as caught:
        KnownFolder(str(tmp_path / "afhq"), "download it from its page").open()
    assert caught.value.key == "root"
    for split in ("train", "val"):
        for kind in ("cat", "dog"):
            picture(tmp_path / "afhq" / split / kind / "1.png")
    assert KnownFolder(str(tmp_path / "afhq"), "").open().class_names == ("cat", "dog")
