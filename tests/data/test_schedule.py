"""Batches and ranks partition the positions up to the budget."""

from itertools import pairwise

import pytest

from saddlepoint.data.schedule import Schedule
from saddlepoint.errors import UserError


def _positions(spans):
    return [position for first, count in spans for position in range(first, first + count)]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 64])
@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("left", [6, 7, 63, 64, 65, 128, 129, 130, 131, 500])
def test_ranks_share_every_position_up_to_the_budget_once(batch_size, world_size, left):
    start = 17
    ranks = [list(Schedule(batch_size, start + left, r, world_size).spans(start)) for r in range(world_size)]
    assert len({len(spans) for spans in ranks}) == 1  # every rank takes the same number of steps
    assert sorted(position for spans in ranks for position in _positions(spans)) == list(range(start, start + left))
    for batch in zip(*ranks, strict=True):  # shares are consecutive, and none has only one image
        for (first, count), (following, _) in pairwise(batch):
            assert following == first + count
        assert all(count >= min(2, batch_size) for _, count in batch)


@pytest.mark.parametrize(
    ("stop", "sizes"),
    [(128, [64, 64]), (129, [64, 65]), (130, [64, 64, 2]), (66, [64, 2]), (65, [65]), (64, [64]), (10, [10]), (0, [])],
)
def test_the_last_batch(stop, sizes):
    assert [count for _, count in Schedule(64, stop).spans(0)] == sizes


def test_batches_of_one_are_not_merged():
    assert [count for _, count in Schedule(1, 3).spans(0)] == [1, 1, 1]


def test_the_last_batch_leaves_two_images_on_each_rank():
    assert [count for _, count in Schedule(4, 8 + 3, 0, 2).spans(0)] == [5]
    assert [count for _, count in Schedule(4, 8 + 3, 1, 2).spans(0)] == [6]
    assert [count for _, count in Schedule(4, 8 + 4, 1, 2).spans(0)] == [4, 2]


def test_resuming_gives_the_rest():
    schedule = Schedule(8, 100, 1, 2)
    whole = list(schedule.spans(0))
    for batch in range(len(whole)):
        assert list(schedule.spans(batch * 16)) == whole[batch:]


def test_there_are_no_batches_beyond_the_budget():
    assert list(Schedule(8, 100).spans(100)) == []
    assert list(Schedule(8, 100).spans(200)) == []


def test_one_image_alone_is_refused():
    with pytest.raises(UserError, match=r"^budget.images: 1 image\(s\) left after 100 .* by at least 1$"):
        list(Schedule(8, 101).spans(100))


def test_no_budget_never_ends():
    spans = Schedule(8).spans(0)
    assert [next(spans) for _ in range(3)] == [(0, 8), (8, 8), (16, 8)]
