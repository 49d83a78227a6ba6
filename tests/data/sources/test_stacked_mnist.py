"""Stacked MNIST against the digits that it consists of."""

import numpy as np

from saddlepoint.data import MNIST, DataModule, StackedMNIST
from saddlepoint.data.sources.stacked_mnist import triples


def test_every_channel_is_a_digit_of_the_label(root):
    contents = StackedMNIST(root, train=300, held_out=50).open()
    assert len(contents.class_names) == 1000
    assert contents.class_names[407] == "407"
    for split, first in (("train", 0), ("held_out", 120)):
        (table,) = contents.splits[split]
        values, labels = table.columns["images"], table.labels
        assert values.shape == ((300, 28, 28, 3) if split == "train" else (50, 28, 28, 3))
        digits = values[:, 0, 0].astype(int) - first  # index of each channel's digit in the split
        assert (values == values[:, :1, :1]).all()
        assert digits.min() >= 0
        assert digits.max() < (40 if split == "train" else 20)
        assert (labels == (digits % 10) @ [100, 10, 1]).all()
    assert (
        len(np.unique(contents.columns("train")["images"][:, 0, 0], axis=0)) > 250
    )  # channels are drawn independently


def test_images_are_fixed(root):
    one, two = StackedMNIST(root, 20, 10).open(), StackedMNIST(root, 20, 10).open()
    assert (one.columns("train")["images"] == two.columns("train")["images"]).all()
    assert one.digest == two.digest
    larger = StackedMNIST(root, 100, 10).open()
    assert (larger.columns("train")["images"][:20] == one.columns("train")["images"]).all()
    assert larger.digest != one.digest
    assert not (triples(40, 10, "train") == triples(40, 10, "held_out")).all()


def test_triples_are_uniform():
    rows = triples(10, 30_000, "train")
    assert rows.shape == (30_000, 3)
    counts = np.bincount(rows @ [100, 10, 1], minlength=1000)
    chi = ((counts - 30) ** 2 / 30).sum()  # 999 degrees of freedom: 999 ± 45
    assert 999 - 4 * 45 < chi < 999 + 4 * 45


def test_as_a_data_module(root):
    data = DataModule(StackedMNIST(root, 30, 10), image_size=32)
    assert data.info.shape == (3, 32, 32)
    assert data.info.sizes == {"train": 30, "held_out": 10}
    assert data.info.num_classes == 1000
    assert data.info.fingerprint != DataModule(MNIST(root), image_size=32).info.fingerprint
