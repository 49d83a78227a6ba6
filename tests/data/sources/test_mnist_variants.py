"""Unpaired and binarised MNIST against the digits that they consist of."""

import hashlib

import numpy as np
import pytest
import torch

from saddlepoint.data import MNIST, BinarisedMNIST, DataModule, UnpairedMNIST
from saddlepoint.data.sources.base import chosen_rows
from saddlepoint.data.sources.binarised_mnist import drawn
from saddlepoint.data.stream import IndexStream


@pytest.fixture
def mnist(data_root):
    if not (data_root / "MNIST").is_dir():
        pytest.skip("SADDLEPOINT_DATA has no MNIST")
    return str(data_root)


@pytest.mark.parametrize("transform", ["invert", "rotate", "colour"])
def test_training_domains_are_disjoint(root, transform):
    a, b = UnpairedMNIST(root, transform).open().splits["train"]
    assert a.columns["a"][:, 16, 16, 0].tolist() == list(range(0, 40, 2))
    assert (a.labels == np.arange(0, 40, 2) % 10).all()
    odd = b.columns["b"][:, 16, 16, 0].tolist()
    assert odd != a.columns["a"][:, 16, 16, 0].tolist()
    if transform != "colour":
        assert odd == [255 - i if transform == "invert" else i for i in range(1, 40, 2)]
    assert (b.labels == np.arange(1, 40, 2) % 10).all()


def test_real_digits_and_their_counterparts(mnist):
    plain = DataModule(MNIST(mnist), 32).arrays("held_out")
    truth = {
        "invert": lambda x: 255 - x,
        "rotate": lambda x: torch.rot90(x, dims=(2, 3)),
        "colour": lambda x: torch.stack(
            [
                ((x[:, 0] * ink + (255 - x[:, 0]) * paper) / 255).round()
                for ink, paper in ((255, 20), (220, 40), (60, 120))
            ],
            1,
        ),
    }
    for transform, counterpart in truth.items():
        data = DataModule(UnpairedMNIST(mnist, transform))
        info = data.info
        assert info.name == f"unpaired_mnist_{transform}"
        assert info.columns == {"a": (1, 32, 32), "b": (3 if transform == "colour" else 1, 32, 32)}
        assert info.sizes == {"train": 30_000, "held_out": 10_000}
        assert info.aligned
        assert info.num_classes == 10
        a, b = (next(data.uint8_batches("held_out", 2000, column)) for column in "ab")
        assert torch.equal(a[0], plain.samples[:2000])
        assert torch.equal(b[0].double(), counterpart(a[0].double()))
        assert torch.equal(a[1], plain.labels[:2000])
        assert torch.equal(a[1], b[1])


def test_binarised_draws_are_philoxs_output():
    images = np.random.default_rng(0).integers(256, size=(1001, 3, 5, 1), dtype=np.uint8)
    images[0, 0] = np.array([0, 255, 0, 255, 0])[:, None]
    got = drawn(images, 1)
    random, expected = np.random.Philox(key=1), []
    for start in (0, 1000):  # a naive loop: the two halves of each word, the low one first
        some = images[start : start + 1000].ravel()
        for index, intensity in enumerate(some):
            if index % 2 == 0:
                word = int(random.random_raw())
            draw = word >> 32 if index % 2 else word & 0xFFFFFFFF
            expected.append(draw * 255 < int(intensity) * 2**32)
    assert got.ravel().tolist() == expected
    assert got[0, 0].ravel().tolist() == [False, True, False, True, False]


def test_binarised_pixels_are_white_with_their_intensity():
    images = np.repeat(np.arange(256, dtype=np.uint8), 4000).reshape(4000, 256, 1, 1)
    shares = drawn(images, 0).ravel().reshape(256, 4000).mean(1)
    expected = np.arange(256) / 255
    assert (np.abs(shares - expected) <= 5 * np.sqrt(expected * (1 - expected) / 4000)).all()


@pytest.mark.parametrize("binarisation", ["static", "threshold"])
def test_binarised_splits(root, binarisation):
    data = DataModule(BinarisedMNIST(root, binarisation))
    assert data.info.name == f"binarised_mnist_{binarisation}"
    assert data.info.shape == (1, 28, 28)
    assert data.info.sizes == {"train": 40, "held_out": 20}
    train, held_out = data.arrays("train").samples, data.arrays("held_out").samples
    assert set(held_out.unique().tolist()) == {0, 255}
    assert data.batch("held_out", 0, 20).images.unique().tolist() == [-1, 1]
    if binarisation == "threshold":
        assert held_out[:, 0, 0, 0].tolist() == [0] * 8 + [255] * 12  # intensities 120 … 139
    assert (train[0] == 0).all()


def test_dynamic_binarisation_redraws_training_images_only(root):
    plain, static = (DataModule(source) for source in (MNIST(root), BinarisedMNIST(root)))
    data = DataModule(BinarisedMNIST(root, "dynamic"), fraction=0.5)
    for split in ("train", "held_out"):
        rows = torch.from_numpy(chosen_rows(40, 0.5)) if split == "train" else slice(None)
        assert torch.equal(data.arrays(split).samples, static.arrays(split).samples[rows])
    data.configure(batch_size=20, seed=0, stop=20 * 400)
    batches = [batch.images for batch in data.train_dataloader()]
    assert set(batches[0].unique().tolist()) == {-1, 1}
    order = [IndexStream(20, 0).take(20 * epoch, 20).argsort() for epoch in range(400)]
    share = torch.stack([batch[rows] for batch, rows in zip(batches, order, strict=True)]).gt(0).double().mean(0)
    intensities = plain.arrays("train").samples[chosen_rows(40, 0.5)]
    inner = (intensities.shape[2] - 28) // 2
    expected = intensities[:, :, inner : inner + 28, inner : inner + 28].double() / 255
    assert ((share - expected).abs() <= 5 * (expected * (1 - expected) / 400).sqrt()).all()


def test_binarisations_never_share_scores(root):
    infos = [DataModule(BinarisedMNIST(root, kind)).info for kind in ("static", "dynamic", "threshold")]
    assert len({info.name for info in infos}) == 3
    assert len({info.fingerprint for info in infos}) == 3


def test_real_static_binarisation_is_fixed(mnist):
    data = DataModule(BinarisedMNIST(mnist))
    assert data.info.sizes == {"train": 60_000, "held_out": 10_000}
    plain, binary = (DataModule(source).arrays("train").samples for source in (MNIST(mnist), BinarisedMNIST(mnist)))
    assert abs(binary.double().mean() - plain.double().mean()) < 0.03  # five standard errors
    held_out = data.arrays("held_out").samples
    sums = [hashlib.sha256(samples.contiguous().numpy().tobytes()).hexdigest()[:16] for samples in (binary, held_out)]
    assert sums == ["6c70901fe5eddc85", "f6032dc582da2b3c"]
