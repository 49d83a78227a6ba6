"""MNIST, Fashion-MNIST and CIFAR-10: the real files if available, and generated files with and without faults."""

import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saddlepoint.data import CIFAR10, EMNIST, KMNIST, MNIST, DataModule, Digits, FashionMNIST, StackedMNIST
from saddlepoint.data.sources.cifar10 import CLASSES
from saddlepoint.errors import UserError

ROOT = Path(os.environ.get("SADDLEPOINT_DATA", "nowhere"))

needs_mnist = pytest.mark.skipif(not (ROOT / "MNIST").is_dir(), reason="SADDLEPOINT_DATA has no MNIST")
needs_cifar10 = pytest.mark.skipif(not (ROOT / "cifar10").is_dir(), reason="SADDLEPOINT_DATA has no cifar10")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # a closed port: downloads fail at once
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)


def idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def make_mnist(root, folder="MNIST", train=20, test=5):
    rng = np.random.default_rng(0)
    images = {}
    for prefix, count in (("train", train), ("t10k", test)):
        images[prefix] = rng.integers(256, size=(count, 28, 28))
        idx(root / folder / "raw" / f"{prefix}-images-idx3-ubyte", images[prefix])
        idx(root / folder / "raw" / f"{prefix}-labels-idx1-ubyte", np.arange(count) % 10)
    return images


@pytest.mark.parametrize(("source", "folder"), [(MNIST, "MNIST"), (FashionMNIST, "FashionMNIST"), (KMNIST, "KMNIST")])
def test_idx_files(tmp_path, source, folder):
    images = make_mnist(tmp_path, folder)
    data = DataModule(source(str(tmp_path)), image_size=32)
    assert data.info.shape == (1, 32, 32)
    assert data.info.sizes == {"train": 20, "held_out": 5}
    assert data.info.num_classes == 10
    samples, labels = data.arrays("held_out")
    assert np.array_equal(samples[:, 0, 2:30, 2:30].numpy(), images["t10k"])
    assert samples[:, :, :2].max() == 0
    assert labels.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("subset", "first", "classes"), [("balanced", 0, 47), ("letters", 1, 26), ("digits", 0, 10)])
def test_emnist_is_turned_as_mnist(tmp_path, subset, first, classes):
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(12, 28, 28))
    for part in ("train", "test"):
        idx(tmp_path / "EMNIST" / "raw" / f"emnist-{subset}-{part}-images-idx3-ubyte", images)
        idx(tmp_path / "EMNIST" / "raw" / f"emnist-{subset}-{part}-labels-idx1-ubyte", np.arange(12) % 10 + first)
    contents = EMNIST(str(tmp_path), subset).open()
    (table,) = contents.splits["train"]
    assert np.array_equal(table.columns["images"][..., 0], images.transpose(0, 2, 1))
    assert table.labels.tolist() == [i % 10 for i in range(12)]
    assert len(contents.class_names) == classes
    assert contents.class_names[0] == ("a" if subset == "letters" else "0")
    idx(tmp_path / "EMNIST" / "raw" / f"emnist-{subset}-test-labels-idx1-ubyte", np.arange(12) * 9)
    with pytest.raises(UserError, match=r"test-labels-idx1-ubyte: label \d+|label -1 is not a class"):
        EMNIST(str(tmp_path), subset).open()


def test_fashion_classes():
    assert FashionMNIST.class_names[0] == "T-shirt/top"
    assert FashionMNIST.class_names[9] == "Ankle boot"


@pytest.mark.parametrize(("source", "folder"), [(MNIST, "MNIST"), (FashionMNIST, "FashionMNIST"), (KMNIST, "KMNIST")])
def test_a_failed_download_names_the_path_and_the_remedy(tmp_path, source, folder):
    with pytest.raises(UserError, match=rf"{folder}/raw: .*download failed \(.+\); copy them there unpacked") as caught:
        source(str(tmp_path)).open()
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("permissions")
@pytest.mark.parametrize("closed", ["MNIST", "MNIST/raw/t10k-labels-idx1-ubyte"])
def test_files_without_permission_are_named_and_not_downloaded_again(tmp_path, closed):
    make_mnist(tmp_path)
    (tmp_path / closed).chmod(0)
    with pytest.raises(UserError, match=rf"{closed}.*: cannot be read \(Permission denied\); change its permissions"):
        MNIST(str(tmp_path)).open()
    (tmp_path / closed).chmod(0o755)
    MNIST(str(tmp_path)).open()


@pytest.mark.usefixtures("permissions")
def test_cifar10_without_permission_is_named(tmp_path):
    (tmp_path / "cifar10").mkdir(0)
    with pytest.raises(UserError, match=r"cifar10/train: cannot be read \(Permission denied\)"):
        CIFAR10(str(tmp_path)).open()


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    make_mnist(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path.parent)  # a literal tilde would create a folder here
    for source in (MNIST("~"), StackedMNIST("~", 2, 2)):
        assert source.open().digest
    assert CIFAR10("~").root == tmp_path


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw[:-1], "bytes, but its header requires"),
        (lambda raw: raw + b"x", "bytes, but its header requires"),
        (lambda raw: b"", "not an idx file"),
        (lambda raw: b"\x1f\x8b" + raw[2:], "not an idx file"),
    ],
)
def test_damaged_idx_files_are_named(tmp_path, damage, message):
    make_mnist(tmp_path)
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=rf"{path.name}: .*{message}"):
        MNIST(str(tmp_path)).open()


def test_labels_that_do_not_match_are_named(tmp_path):
    make_mnist(tmp_path)
    idx(tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte", np.arange(4))
    with pytest.raises(UserError, match="5 images but 4 labels"):
        MNIST(str(tmp_path)).open()
    idx(tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte", np.array([0, 1, 2, 3, 77]))
    with pytest.raises(UserError, match="label 77 is not a class"):
        MNIST(str(tmp_path)).open()


@needs_mnist
def test_real_mnist():
    data = DataModule(MNIST(str(ROOT)), image_size=32)
    assert data.info.sizes == {"train": 60_000, "held_out": 10_000}
    assert data.info.class_names == tuple("0123456789")
    train, test = data.arrays("train"), data.arrays("held_out")
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]  # as published
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    inside = train.samples[:, :, 2:30, 2:30].double() / 255
    assert abs(inside.mean() - 0.1307) < 1e-4  # the normalisation constants everyone uses
    assert abs(inside.std() - 0.3081) < 1e-4


def make_cifar10(root, zipped):
    rng = np.random.default_rng(0)
    for split, count in (("train", 3), ("test", 2)):
        for name in CLASSES:
            for i in range(count):
                path = root / "cifar10" / split / name / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(256, size=(32, 32, 3), dtype=np.uint8)).save(path)
    if zipped:
        for split in ("train", "test"):
            folder = root / "cifar10" / split
            with zipfile.ZipFile(root / "cifar10" / f"{split}.zip", "w") as file:
                for path in sorted(folder.rglob("*.png")):
                    file.write(path, path.relative_to(folder).as_posix())
                    path.unlink()
            for path in sorted(folder.rglob("*"), reverse=True):
                path.rmdir()
            folder.rmdir()


@pytest.mark.parametrize("zipped", [False, True])
def test_cifar10_class_folders_and_zips(tmp_path, zipped):
    make_cifar10(tmp_path, zipped)
    data = DataModule(CIFAR10(str(tmp_path)), cache_dir=str(tmp_path / "cache"))
    assert data.info.shape == (3, 32, 32)
    assert data.info.class_names == CLASSES
    assert data.info.sizes == {"train": 30, "held_out": 20}
    assert data.arrays("train").labels.tolist() == [label for label in range(10) for _ in range(3)]
    expected = np.random.default_rng(0).integers(256, size=(32, 32, 3), dtype=np.uint8)
    assert np.array_equal(data.arrays("train").samples[0].permute(1, 2, 0).numpy(), expected)


def test_cifar10_needs_both_splits_and_its_classes(tmp_path):
    make_cifar10(tmp_path, zipped=True)
    (tmp_path / "cifar10" / "test.zip").rename(tmp_path / "test.zip")
    with pytest.raises(UserError, match=r"train\.zip: the other split is missing; put both train and test there"):
        CIFAR10(str(tmp_path)).open()
    (tmp_path / "cifar10" / "test").mkdir()
    with pytest.raises(UserError, match="the class folders are not those of CIFAR-10"):
        CIFAR10(str(tmp_path)).open()


def test_cifar10_missing_names_both_layouts(tmp_path):
    with pytest.raises(UserError, match=r"neither cifar10/train .*cifar-10-batches-py.*download failed") as caught:
        CIFAR10(str(tmp_path)).open()
    assert "\n" not in str(caught.value)


def test_a_forged_cifar10_batch_is_never_unpickled(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    import pickle

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]:
        (folder / name).write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match="download failed"):
        CIFAR10(str(tmp_path)).open()
    assert not (tmp_path / "ran").exists()


@needs_cifar10
def test_real_cifar10(tmp_path):
    data = DataModule(CIFAR10(str(ROOT)), cache_dir=str(tmp_path))
    assert data.info.sizes == {"train": 50_000, "held_out": 10_000}
    test = data.arrays("held_out")
    assert test.labels.bincount().tolist() == [1000] * 10
    assert data.class_names[0] == "airplane"
    assert test.labels[0] == 0
    # the test set's channel means, published with many CIFAR-10 recipes
    means = test.samples.double().mean(dim=(0, 2, 3)) / 255
    assert np.allclose(means, [0.4942, 0.4851, 0.4504], atol=1e-3)


def test_digits():
    from sklearn.datasets import load_digits

    data = DataModule(Digits())
    assert data.info.shape == (1, 8, 8)
    train, held_out = data.arrays("train"), data.arrays("held_out")
    assert len(train.samples) + len(held_out.samples) == 1797
    assert 0.15 < len(held_out.samples) / 1797 < 0.25
    assert train.samples.min() == 0
    assert train.samples.max() == 255
    scans = [{image.numpy().tobytes() for image in split.samples} for split in (train, held_out)]
    assert not scans[0] & scans[1]
    reference = {np.rint(image * 255 / 16).astype(np.uint8).tobytes() for image in load_digits().images}
    assert scans[0] | scans[1] == reference


def test_digits_split_is_fixed():
    assert DataModule(Digits()).info.sizes == {"train": 1472, "held_out": 325}
