"""Both loaders yield bitwise identical batches, and exactly those of the stream."""

from itertools import islice

import pytest
import torch

from saddlepoint import trees
from saddlepoint.data.loader import MemoryLoader, Rows, WorkerLoader
from saddlepoint.data.stream import IndexStream
from saddlepoint.data.transforms import flips
from saddlepoint.errors import UserError
from saddlepoint.types import ImageBatch, VectorBatch


@pytest.fixture
def images():
    return torch.randint(256, (50, 6, 5, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


LABELS = torch.arange(50) % 7


def table(images, labels=None):
    return Rows({"images": images}, labels)


def _same(left, right):
    left, right = list(left), list(right)
    assert len(left) == len(right) > 0
    for a, b in zip(left, right, strict=True):
        assert torch.equal(a.samples, b.samples)
        assert (a.labels is None) == (b.labels is None)
        assert a.labels is None or torch.equal(a.labels, b.labels)


def test_a_batch_is_the_streams_indices(images):
    loader = MemoryLoader(table(images, LABELS), batch_size=8, seed=4)
    stream = IndexStream(50, 4)
    for step, batch in enumerate(islice(loader, 20)):  # over three epochs
        indices = stream.take(step * 8, 8)
        assert isinstance(batch, ImageBatch)
        assert torch.equal(batch.images, images[indices].permute(0, 3, 1, 2) / 127.5 - 1)
        assert torch.equal(batch.labels, LABELS[indices])
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert batch.images.dtype == torch.float32


@pytest.mark.parametrize("num_workers", [0, 2])
def test_both_loaders_agree_bit_for_bit(images, num_workers):
    options = {"batch_size": 8, "seed": 1, "start": 30, "stop": 30 + 97, "flip": True}
    _same(
        MemoryLoader(table(images, LABELS), **options),
        WorkerLoader(table(images, LABELS), num_workers=num_workers, **options),
    )


@pytest.mark.parametrize("flip", [False, True])
def test_resuming_from_a_position_gives_the_same_batches(images, flip):
    options = {"batch_size": 8, "seed": 2, "stop": 200, "flip": flip}
    whole = list(MemoryLoader(table(images, LABELS), **options))
    for step in (1, 6, 13):
        _same(whole[step:], MemoryLoader(table(images, LABELS), start=step * 8, **options))


def test_binarised_images_are_drawn_anew_in_each_epoch(images):
    binarised = Rows({"images": images}, LABELS, binarised=(6, 5, 3))
    options = {"batch_size": 10, "seed": 2, "stop": 200, "flip": True}
    whole = list(MemoryLoader(binarised, **options))
    assert all(set(batch.images.unique().tolist()) == {-1, 1} for batch in whole)
    _same(whole, WorkerLoader(binarised, num_workers=2, **options))
    _same(whole[6:], MemoryLoader(binarised, start=60, **options))
    certain = (images == 0) | (images == 255)
    unflipped = {**options, "flip": False}
    first, second = (
        torch.cat([batch.images for batch in islice(MemoryLoader(binarised, start=at, **unflipped), 5)])[rows]
        for at, rows in ((at, IndexStream(50, 2).take(at, 50).argsort()) for at in (0, 50))
    )
    assert not torch.equal(first, second)
    always = certain.permute(0, 3, 1, 2)
    assert torch.equal(first[always], (images.permute(0, 3, 1, 2)[always] / 127.5 - 1))
    assert torch.equal(first[always], second[always])


def test_start_is_called_when_iteration_begins(images):
    position = 0
    loader = MemoryLoader(table(images), batch_size=8, seed=2, start=lambda: position, stop=64)
    whole = list(loader)
    position = 40
    _same(whole[5:], loader)


def test_ranks_share_the_global_batch(images):
    options = {"seed": 3, "stop": 131, "flip": True}
    whole = list(MemoryLoader(table(images, LABELS), batch_size=16, **options))
    ranks = [list(MemoryLoader(table(images, LABELS), batch_size=8, rank=r, world_size=2, **options)) for r in range(2)]
    together = [trees.concatenate(*pair) for pair in zip(*ranks, strict=True)]
    assert torch.equal(torch.cat([b.images for b in together]), torch.cat([b.images for b in whole]))
    assert torch.equal(torch.cat([b.labels for b in together]), torch.cat([b.labels for b in whole]))


def test_flips_are_keyed_by_position(images):
    drawn = flips(0, 0, 40)
    one = next(iter(MemoryLoader(table(images), batch_size=40, seed=0, flip=True))).images
    plain = next(iter(MemoryLoader(table(images), batch_size=40, seed=0))).images
    for row, flipped in enumerate(drawn):
        assert torch.equal(one[row], plain[row].flip(2) if flipped else plain[row])


def test_points_are_unchanged():
    points = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    batch = next(iter(MemoryLoader(Rows({"points": points}), batch_size=20, seed=0)))
    assert isinstance(batch, VectorBatch)
    assert batch.labels is None
    assert torch.equal(batch.points, points[IndexStream(20, 0).take(0, 20)])


def test_a_batch_larger_than_the_data_is_refused(images):
    with pytest.raises(UserError, match="batch_size: 51 is more than the 50 training samples"):
        MemoryLoader(table(images), batch_size=51, seed=0)
    with pytest.raises(UserError, match="batch_size: 26 on each of 2 ranks is more than the 50"):
        WorkerLoader(table(images), batch_size=26, seed=0, world_size=2)
    MemoryLoader(table(images), batch_size=25, seed=0, world_size=2)


class _Broken:
    def __len__(self):
        return 10

    def __getitem__(self, index):
        raise UserError("3.png: corrupt image", None, "replace it")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_corrupt_file_in_a_worker_is_reported_in_one_line(num_workers):
    with pytest.raises(UserError) as caught:
        next(iter(WorkerLoader(table(_Broken()), batch_size=2, seed=0, num_workers=num_workers)))
    assert str(caught.value) == "3.png: corrupt image; replace it"


def test_loading_does_not_change_the_global_random_state(images):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    list(WorkerLoader(table(images), batch_size=8, seed=0, stop=32, flip=True, num_workers=1))
    assert torch.equal(torch.rand(3), expected)
