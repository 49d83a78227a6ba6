"""Both loaders on every kind of batch, with images whose pixels encode row, crop and flip."""

from itertools import islice

import numpy as np
import pytest
import torch
from scipy import stats

from saddlepoint import trees
from saddlepoint.data.loader import MemoryLoader, Rows, WorkerLoader
from saddlepoint.data.stream import IndexStream, Stream
from saddlepoint.errors import UserError
from saddlepoint.types import Captioned, Paired, Unpaired

HEIGHT, WIDTH, JITTER = 9, 12, 4


def marked(n):
    """Return images whose channels are the row of the table and the pixel's y and x, uint8 [n, H, W, 3]."""
    row, y, x = torch.meshgrid(torch.arange(n), torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    return torch.stack([row, y, x], 3).to(torch.uint8)


ALL = marked(50)


def read(images):
    """Return rows, flips and corners of a batch of :func:`marked` images, after checking every pixel."""
    values = ((images + 1) * 127.5).round().long()
    rows, top = values[:, 0, 0, 0], values[:, 1, 0, 0]
    flipped = values[:, 2, 0, 0] > values[:, 2, 0, 1]
    left = values[:, 2].amin((1, 2))
    for value, row, y, x, flip in zip(values, rows, top, left, flipped, strict=True):
        expected = ALL[row, y : y + HEIGHT - JITTER, x : x + WIDTH - JITTER].permute(2, 0, 1).long()
        assert torch.equal(value, expected.flip(2) if flip else expected)
    return rows, flipped, torch.stack([top, left], 1)


def paired():
    return [Rows({"inputs": marked(50), "targets": marked(50)}, torch.arange(50) % 7)]


def unpaired():
    return [Rows({"a": marked(30)}), Rows({"b": marked(41)}, torch.arange(41) % 7)]


def captioned():
    return [Rows({"images": marked(50), "captions": torch.arange(100.0).view(50, 2)})]


KINDS = {"paired": (paired, Paired), "unpaired": (unpaired, Unpaired), "captioned": (captioned, Captioned)}
OPTIONS = {"seed": 1, "flip": True, "jitter": JITTER}


def same(left, right):
    left, right = list(left), list(right)
    assert len(left) == len(right) > 0
    for one, other in zip(left, right, strict=True):
        assert type(one) is type(other)
        assert all(torch.equal(a, b) for a, b in zip(trees.leaves(one), trees.leaves(other), strict=True))


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_both_loaders_agree_bit_for_bit(kind, num_workers):
    tables, batch = KINDS[kind]
    options = {"batch_size": 8, "start": 30, "stop": 30 + 97, **OPTIONS}
    memory = list(MemoryLoader(*tables(), **options))
    same(memory, WorkerLoader(*tables(), num_workers=num_workers, **options))
    assert all(isinstance(one, batch) for one in memory)
    assert [len(one) for one in memory] == [8] * 11 + [9]  # the one remaining image is merged into the last batch


@pytest.mark.parametrize("kind", KINDS)
def test_resuming_from_a_position_gives_the_same_batches(kind):
    tables, _ = KINDS[kind]
    whole = list(MemoryLoader(*tables(), batch_size=8, stop=131, **OPTIONS))
    for step in (1, 6, 13):
        same(whole[step:], MemoryLoader(*tables(), batch_size=8, stop=131, start=step * 8, **OPTIONS))


@pytest.mark.parametrize("kind", KINDS)
def test_ranks_share_the_global_batch_of_every_table(kind):
    tables, _ = KINDS[kind]
    whole = list(MemoryLoader(*tables(), batch_size=16, stop=135, **OPTIONS))
    ranks = [list(MemoryLoader(*tables(), batch_size=8, rank=r, world_size=2, stop=135, **OPTIONS)) for r in range(2)]
    same(whole, [trees.concatenate(*pair) for pair in zip(*ranks, strict=True)])


def test_pairs_share_order_flip_and_crop():
    loader, drawn = MemoryLoader(*paired(), batch_size=8, **OPTIONS), Stream(50, 1, flip=True, jitter=JITTER)
    for step, batch in enumerate(islice(loader, 20)):
        inputs, targets, expected = read(batch.inputs), read(batch.targets), drawn.draw(step * 8, 8)
        for one, other, draw in zip(inputs, targets, expected[:3], strict=True):
            assert torch.equal(one, other)
            assert torch.equal(one, draw)
        assert torch.equal(batch.labels, inputs[0] % 7)
        assert torch.equal(batch.condition, batch.inputs)


def test_captions_stay_with_their_images():
    for batch in MemoryLoader(*captioned(), batch_size=8, stop=80, **OPTIONS):
        rows, _, _ = read(batch.images)
        assert torch.equal(batch.captions, torch.stack([2.0 * rows, 2.0 * rows + 1], 1))


def test_unpaired_tables_have_orders_flips_and_crops_of_their_own():
    loader = MemoryLoader(*unpaired(), batch_size=8, **OPTIONS)
    for step, batch in enumerate(islice(loader, 20)):
        for images, n, name in ((batch.a, 30, "a"), (batch.b, 41, "b")):
            expected = Stream(n, 1, flip=True, jitter=JITTER, name=name).draw(step * 8, 8)
            assert all(torch.equal(one, draw) for one, draw in zip(read(images), expected[:3], strict=True))
        assert torch.equal(batch.labels, read(batch.b)[0] % 7)


def test_unpaired_orders_are_independent():
    """Rows i and j of the two tables are paired with frequency 1 / n: chi-squared with (n - 1)² degrees of freedom."""
    n, epochs = 5, 4000
    a, b = (IndexStream(n, 0, purpose).take(0, n * epochs) for purpose in ("order a", "order b"))
    counts = np.bincount((n * a + b).numpy(), minlength=n * n)
    chi2 = ((counts - epochs / n) ** 2 / (epochs / n)).sum()
    assert stats.chi2.sf(chi2, (n - 1) ** 2) > 1e-3
    assert not torch.equal(a, b)


def test_a_batch_larger_than_the_smaller_table_is_refused():
    with pytest.raises(UserError, match="31 is more than the 30 training samples") as caught:
        MemoryLoader(*unpaired(), batch_size=31, seed=0)
    assert caught.value.key == "batch_size"
    MemoryLoader(*unpaired(), batch_size=30, seed=0)
