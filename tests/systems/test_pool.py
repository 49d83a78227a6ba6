from __future__ import annotations

import torch
from torch import Tensor

from saddlepoint import randomness
from saddlepoint.systems.pool import ImagePool


def numbered(start: int, count: int) -> Tensor:
    return torch.arange(start, start + count, dtype=torch.float32)[:, None, None, None].expand(-1, 1, 2, 2).clone()


def naive(batches: list[Tensor], size: int, seed: int) -> list[list[int]]:
    """Return the images that a pool as in the paper returns, implemented image by image."""
    pool: list[int] = []
    shown = []
    for turn, batch in enumerate(batches):
        random = randomness.generator("cpu", seed, "pool", "a", turn)
        exchanged, places = (
            torch.rand(len(batch), generator=random) < 0.5,
            torch.randint(size, (len(batch),), generator=random),
        )
        out = []
        for i, image in enumerate(batch[:, 0, 0, 0].int().tolist()):
            if len(pool) < size:
                pool.append(image)
                out.append(image)
            elif exchanged[i]:
                out.append(pool[places[i]])
                pool[places[i]] = image
            else:
                out.append(image)
        shown.append(out)
    return shown


def test_pool_equals_a_naive_list() -> None:
    batches = [numbered(10 * i, 4) for i in range(30)]
    pool = ImagePool(6, (1, 2, 2))
    found = [pool.exchange(batch, 7, "a", turn)[:, 0, 0, 0].int().tolist() for turn, batch in enumerate(batches)]
    assert found == naive(batches, 6, 7)
    late = [number for out in found[10:] for number in out]
    old = sum(number // 10 != 10 + i // 4 for i, number in enumerate(late)) / len(late)
    assert 0.3 < old < 0.65  # about half of the images are from earlier batches


def test_pool_resumes_from_its_state() -> None:
    batches = [numbered(10 * i, 3) for i in range(8)]
    whole, first = ImagePool(5, (1, 2, 2)), ImagePool(5, (1, 2, 2))
    expected = [whole.exchange(batch, 0, "b", turn) for turn, batch in enumerate(batches)]
    for turn in range(4):
        first.exchange(batches[turn], 0, "b", turn)
    second = ImagePool(5, (1, 2, 2))
    second.load_state_dict(first.state_dict())
    for turn in range(4, 8):
        assert torch.equal(second.exchange(batches[turn], 0, "b", turn), expected[turn])


def test_pool_of_size_zero_returns_its_input() -> None:
    fakes = numbered(0, 3)
    assert ImagePool(0, (1, 2, 2)).exchange(fakes, 0, "a", 0) is fakes
