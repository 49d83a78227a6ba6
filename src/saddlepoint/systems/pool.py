"""A pool of previously generated images, on which discriminators are trained.

Shrivastava et al. 2017, "Learning from Simulated and Unsupervised Images through Adversarial Training",
arXiv:1612.07828.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from saddlepoint import randomness, ranks


class ImagePool(nn.Module):
    """A buffer of generated images that returns, with probability ½ each, a new or an older image.

    Until the pool is full, every image is stored and returned. Then each new image is exchanged, with probability ½,
    for a random stored one, which is returned instead (section 2.3; as in the code of Zhu et al. 2017). On several
    ranks, every rank has a copy of the same pool of the images of all ranks.

    Args:
        size: maximum number of images; with 0, every image is returned unchanged.
        shape: shape of an image, (C, H, W).
    """

    images: Tensor
    count: Tensor

    def __init__(self, size: int, shape: Sequence[int]) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self._count = 0  # a copy on the host, since reading the buffer would wait for the device in every turn
        self.register_load_state_dict_post_hook(_recount)

    @torch.no_grad()
    def exchange(self, fakes: Tensor, seed: int, purpose: str, turn: int) -> Tensor:
        """Return the images to train the discriminator on, [N, C, H, W].

        Draws are keyed by (seed, purpose, turn), which must be the same on all ranks.

        Args:
            fakes: newly generated images of this rank, [N, C, H, W].
            seed: seed of the run.
            purpose: name of the pool.
            turn: number of turns of the discriminator so far.
        """
        if self.size == 0:
            return fakes
        gathered, own = ranks.gather_with_place(fakes.detach().float())
        random = randomness.generator("cpu", seed, "pool", purpose, turn)
        exchanged = torch.rand(len(gathered), generator=random) < 0.5
        places = torch.randint(self.size, (len(gathered),), generator=random)
        shown = gathered.clone()
        for index, place in enumerate(places.tolist()):
            if self._count < self.size:
                self.images[self._count] = gathered[index]
                self._count += 1
            elif exchanged[index]:
                shown[index] = self.images[place]
                self.images[place] = gathered[index]
        self.count.fill_(self._count)
        return shown[own].to(fakes.dtype)


def _recount(pool: nn.Module, _: object) -> None:
    """Set the host's copy of the count after a state dict has been loaded."""
    assert isinstance(pool, ImagePool)
    pool._count = int(pool.count)
