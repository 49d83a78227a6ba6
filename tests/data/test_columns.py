"""The data module on several columns and with jitter: shapes, sizes, rows, caches, and reproducing earlier versions."""

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image

from saddlepoint.data import DataModule, Digits, Gaussians, ImageFolder, PairedFolder, UnpairedFolder
from saddlepoint.data.fit import Fit
from saddlepoint.data.loader import MemoryLoader, WorkerLoader
from saddlepoint.errors import UserError
from saddlepoint.types import ImageBatch, Paired, Unpaired, VectorBatch

RNG = np.random.default_rng(0)


def save(path, height, width, channels):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (height, width) if channels == 1 else (height, width, channels)
    Image.fromarray(RNG.integers(256, size=shape, dtype=np.uint8)).save(path)


@pytest.fixture
def pairs(tmp_path):
    for split, count in (("train", 12), ("val", 5)):
        for index in range(count):
            save(tmp_path / "pairs" / split / f"{index}.png", 10, 24, 3)
    return tmp_path / "pairs"


@pytest.fixture
def domains(tmp_path):
    """Two domains with different sizes, channels and numbers of images."""
    for name, count, size in (("trainA", 12, (10, 12, 1)), ("trainB", 9, (16, 9, 3)), ("testA", 7, (10, 12, 1))):
        for index in range(count):
            save(tmp_path / "domains" / name / f"{index}.png", *size)
    for index in range(4):
        save(tmp_path / "domains" / "testB" / f"{index}.png", 16, 9, 3)
    return tmp_path / "domains"


def paired(root, **options):
    return DataModule(PairedFolder(str(root)), cache_dir=str(root.parent / "cache"), **options)


def unpaired(root, **options):
    options = {"image_size": 8, "fit": "crop", **options}
    return DataModule(UnpairedFolder(str(root)), cache_dir=str(root.parent / "cache"), **options)


def batches(data, **options):
    data.configure(**{"batch_size": 4, "seed": 0, "stop": 50, **options})
    return list(data.train_dataloader())


def test_pairs_have_one_shape_per_column(pairs):
    info = paired(pairs).inspect()
    assert info.columns == {"inputs": (3, 10, 12), "targets": (3, 10, 12)}
    assert info.shape == (3, 10, 12)
    assert info.batch is Paired
    assert info.sizes == {"train": 12, "held_out": 5}
    assert info.aligned


def test_domains_of_other_sizes_and_channels(domains):
    data = unpaired(domains)
    assert data.info.columns == {"a": (1, 8, 8), "b": (3, 8, 8)}
    assert data.info.shape == (3, 8, 8)
    assert data.info.batch is Unpaired
    assert data.info.sizes == {"train": 9, "held_out": 4}  # of the samples, domain b
    assert (data.size("train", "a"), data.size("held_out", "a")) == (12, 7)
    assert not data.info.aligned
    batch = batches(data)[0]
    assert (batch.a.shape, batch.b.shape) == ((4, 1, 8, 8), (4, 3, 8, 8))
    assert unpaired(domains, channels=3).info.columns == {"a": (3, 8, 8), "b": (3, 8, 8)}
    with pytest.raises(UserError, match="images of 2 sizes") as caught:
        unpaired(domains, image_size=None).inspect()
    assert caught.value.key == "image_size"


@pytest.mark.parametrize("make", [paired, unpaired])
def test_workers_and_memory_yield_the_same(make, request):
    root = request.getfixturevalue("pairs" if make is paired else "domains")
    options = {"flip": True, "jitter": 3, "image_size": 8, "fit": "crop"}
    memory, workers = make(root, loader="memory", **options), make(root, loader="workers", num_workers=2, **options)
    for one, other in zip(batches(memory), batches(workers), strict=True):
        assert all(torch.equal(getattr(one, name), getattr(other, name)) for name in memory.info.columns)
    assert isinstance(memory.train_dataloader(), MemoryLoader)
    assert isinstance(workers.train_dataloader(), WorkerLoader)


def test_jitter_crops_a_larger_fit_in_training(pairs):
    files = sorted(pairs.glob("train/*.png"), key=lambda path: path.name)
    halves = [Image.open(path).crop((0, 0, 12, 10)) for path in files]
    larger = torch.stack([torch.tensor(Fit(11, 13, 3, "resize").image(half, "x")) for half in halves])
    windows = {
        bytes(image[top : top + 8, left : left + 10].numpy().tobytes())
        for image in larger
        for top in range(4)
        for left in range(4)
    }
    seen = set()
    for batch in batches(paired(pairs, image_size=[8, 10], fit="resize", jitter=3), stop=400):
        pixels = ((batch.inputs + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
        seen |= {image.contiguous().numpy().tobytes() for image in pixels}
    assert seen <= windows
    assert len(seen) > 100  # of 12 images with 16 crops each


def test_evaluation_has_no_jitter_and_no_flip(pairs):
    plain, jittered = (
        paired(pairs, image_size=8, fit="resize"),
        paired(pairs, image_size=8, fit="resize", jitter=3, flip=True),
    )
    batches(jittered)
    assert jittered.info == plain.info
    for split in ("train", "held_out"):
        for name in ("inputs", "targets"):
            (one, _), (other, _) = (next(data.uint8_batches(split, column=name)) for data in (plain, jittered))
            assert torch.equal(one, other)


@pytest.mark.parametrize("limit", [2.0, 0.0])
def test_rows_of_columns(domains, limit):
    data = unpaired(domains, memory_limit_gb=limit)
    whole = {name: torch.cat([images for images, _ in data.uint8_batches("held_out", 3, name)]) for name in "ab"}
    assert {name: len(images) for name, images in whole.items()} == {"a": 7, "b": 4}
    assert torch.equal(torch.cat([images for images, _ in data.uint8_batches("held_out")]), whole["b"])
    batch = data.batch("held_out", 1, 100)  # to the end of the shorter table
    assert isinstance(batch, Unpaired)
    assert torch.equal(batch.a, whole["a"][1:4] / 127.5 - 1)
    assert torch.equal(batch.b, whole["b"][1:4] / 127.5 - 1)
    assert torch.equal(data.column("held_out", "a", 5, 100), whole["a"][5:] / 127.5 - 1)


def test_batches_of_other_kinds(tmp_path):
    digits = DataModule(Digits())
    batch, whole = digits.batch("held_out", 3, 5), digits.arrays("held_out")
    assert isinstance(batch, ImageBatch)
    assert torch.equal(batch.images, whole.samples[3:8] / 127.5 - 1)
    assert torch.equal(batch.labels, whole.labels[3:8])
    points = DataModule(Gaussians())
    batch = points.batch("train", 7, 2)
    assert isinstance(batch, VectorBatch)
    assert torch.equal(batch.points, points.arrays("train").samples[7:9])
    assert batch.labels is None


def test_columns_splits_and_jitters_have_separate_caches(pairs):
    data = paired(pairs, image_size=8, fit="resize", jitter=3)
    batches(data)
    assert len(data.batch("train", 0, 5)) == len(data.batch("held_out", 0, 5)) == 5
    names = {path.name.removeprefix(data.info.fingerprint) for path in (pairs.parent / "cache/decoded").glob("*.npy")}
    halves = {f"-{split}-{column}" for split in ("train", "held_out") for column in ("inputs", "targets")}
    assert names == {f"{half}.npy" for half in halves} | {"-train-inputs-3.npy", "-train-targets-3.npy"}
    again = paired(pairs, image_size=8, fit="resize", jitter=3)
    assert torch.equal(again.batch("train", 0, 5).targets, data.batch("train", 0, 5).targets)


def test_a_batch_larger_than_the_smaller_domain_is_refused(domains):
    with pytest.raises(UserError, match="10 is more than the 9 training samples"):
        unpaired(domains).configure(10, 0)


def test_keys_of_mistakes_are_arguments(tmp_path):
    with pytest.raises(UserError, match="no such folder or zip file") as caught:
        DataModule(ImageFolder(str(tmp_path / "nowhere"))).inspect()
    assert caught.value.key == "source.root"


def test_batches_and_fingerprints_are_those_of_earlier_versions():
    """Recorded at revision adc0945, so that old runs can be resumed and caches stay valid."""
    resized = DataModule(Digits(), image_size=32, fit="resize", channels=3)
    assert resized.info.fingerprint == "57aaf37dc4d67637697a4acf71359e63"
    digits, state = DataModule(Digits(), flip=True), hashlib.sha256()
    assert digits.info.fingerprint == "1f5d7136732b0f66d59bf8509b57bc0d"
    digits.configure(64, 3, stop=64 * 50 + 1)
    for batch in digits.train_dataloader():
        state.update(batch.images.contiguous().numpy().tobytes())
        state.update(batch.labels.numpy().tobytes())
    assert state.hexdigest() == "41e03bccd50247be40abb0fab5fc150d762ec7f9f377b5b8b9218007ee913441"
