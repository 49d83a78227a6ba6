"""The order is a permutation in each epoch, and a pure function of the position."""

import pytest
import torch

from saddlepoint.data.stream import IndexStream, Stream


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_each_epoch_is_a_permutation(n):
    stream = IndexStream(n, seed=3)
    for epoch in range(4):
        assert sorted(stream.take(epoch * n, n).tolist()) == list(range(n))


def test_epochs_and_seeds_differ():
    first, second = IndexStream(100, 0), IndexStream(100, 1)
    assert not torch.equal(first.take(0, 100), first.take(100, 100))
    assert not torch.equal(first.take(0, 100), second.take(0, 100))


def test_the_order_is_that_of_earlier_versions():
    """Recorded at revision adc0945, so that old runs can be resumed."""
    assert IndexStream(1000, 0).take(995, 10).tolist() == [427, 371, 26, 378, 595, 128, 742, 125, 412, 425]
    assert IndexStream(50, 7).take(0, 8).tolist() == [30, 4, 41, 19, 33, 1, 35, 36]
    drawn = Stream(1000, 0, flip=True).draw(60, 16)
    assert torch.equal(drawn.indices, IndexStream(1000, 0).take(60, 16))
    assert drawn.flips.int().tolist() == [1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1, 1]
    assert drawn.corners is None


def test_take_is_a_function_of_the_position_alone():
    whole = IndexStream(10, seed=5).take(0, 200)
    worn = IndexStream(10, seed=5)
    random = torch.Generator().manual_seed(0)
    for _ in range(200):  # backwards, forwards and across epochs
        start, count = (int(torch.randint(100, (), generator=random)) for _ in range(2))
        assert torch.equal(worn.take(start, count), whole[start : start + count])


def test_taking_zero_indices_is_empty():
    assert IndexStream(3, 0).take(5, 0).dtype == torch.long
    assert len(IndexStream(3, 0).take(5, 0)) == 0


def test_an_empty_stream_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        IndexStream(0, 0)


def test_positions_are_uniform_over_epochs():
    # index i at position p of an epoch has probability 1/n: chi-squared with (n-1)² degrees of freedom, five sigma
    n, epochs = 5, 4000
    orders = IndexStream(n, 0).take(0, n * epochs).view(epochs, n)
    counts = torch.stack([torch.bincount(orders[:, place], minlength=n) for place in range(n)]).double()
    chi2 = ((counts - epochs / n) ** 2 / (epochs / n)).sum()
    freedom = (n - 1) ** 2
    assert abs(chi2 - freedom) < 5 * (2 * freedom) ** 0.5
