"""Shrivastava et al. 2017, "Learning from Simulated and Unsupervised Images", arXiv:1612.07828: a history of fakes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from saddlepoint import randomness, ranks


class ImagePool(nn.Module):
    """A buffer of generated images; what a critic is shown is a new image or, half of the time, an older one.

    Until the pool is full every image is stored and returned. Then each new image is, with probability ½, exchanged for
    a stored one drawn at random, which is returned in its place (section 2.3; as in the code of Zhu et al. 2017). On
    several ranks all images of the batch pass through one pool, of which every rank has a copy.

    Args:
        size: number of images; 0 returns every image as it is.
        shape: of an image, (C, H, W).
    """

    images: Tensor
    count: Tensor

    def __init__(self, size: int, shape: Sequence[int]) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self._count = 0  # the same on the host: reading the buffer would wait for the device in every turn
        self.register_load_state_dict_post_hook(_recount)

    @torch.no_grad()
    def exchange(self, fakes: Tensor, seed: int, purpose: str, turn: int) -> Tensor:
        """Return what the critic is shown in the place of ``fakes``, [N, C, H, W].

        Args:
            fakes: generated images of this rank.
            seed: keys the draws, together with the two that follow; the same on all ranks.
            purpose: of the pool.
            turn: the critic's.
        """
        if self.size == 0:
            return fakes
        everybody, own = ranks.gather_with_place(fakes.detach().float())
        random = randomness.generator("cpu", seed, "pool", purpose, turn)
        exchanged = torch.rand(len(everybody), generator=random) < 0.5
        places = torch.randint(self.size, (len(everybody),), generator=random)
        shown = everybody.clone()
        for index, place in enumerate(places.tolist()):
            if self._count < self.size:
                self.images[self._count] = everybody[index]
                self._count += 1
            elif exchanged[index]:
                shown[index] = self.images[place]
                self.images[place] = everybody[index]
        self.count.fill_(self._count)
        return shown[own].to(fakes.dtype)


def _recount(pool: nn.Module, _: object) -> None:
    """Take the number of images from the buffer that a checkpoint has filled."""
    assert isinstance(pool, ImagePool)
    pool._count = int(pool.count)
