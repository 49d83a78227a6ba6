"""Standing statistics of BatchNorm, estimated for sampling.

Brock et al. 2019, "Large Scale GAN Training for High Fidelity Natural Image Synthesis", arXiv:1809.11096.

Running statistics are averages over training, of weights that have changed since and of latents that are not truncated.
Standing statistics are estimated anew, with the weights and the truncation that samples are drawn with: means and
variances are averaged over the batches of many forward passes. They are then fixed, so that samples still do not depend
on each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from saddlepoint import randomness
from saddlepoint.errors import UserError
from saddlepoint.networks.layers.statistics import BATCH_NORMS
from saddlepoint.systems.capabilities import Generates
from saddlepoint.systems.game import Game

BATCHES = 100
"""Number of forward passes, as in the paper; each has the system's block of samples."""
NO_BATCH_NORM = "this generator has no batch normalization"


@contextmanager
def standing_statistics(
    system: Game, seed: int, truncation: float = 1.0, ema: bool = True, batches: int = BATCHES
) -> Iterator[None]:
    """Return a context in which BatchNorm's running statistics are replaced by standing ones, for sampling.

    Each layer's mean is the mean over the batches' means, and its variance the mean over their unbiased variances. Only
    layers that take part in sampling are changed.

    Args:
        system: generates samples.
        seed: seed of the batches; their latents and labels are not those of the samples of this seed.
        truncation: truncation of the latents, in (0, 1].
        ema: whether to use the averaged weights, if they exist.
        batches: number of forward passes.

    Raises:
        UserError: no layer that takes part in sampling has running statistics.
    """
    assert isinstance(system, Generates)
    networks = [system.network(role, ema) for role in system.networks]
    norms = [norm for network in networks for norm in network.modules() if isinstance(norm, BATCH_NORMS)]
    if not norms:
        raise UserError(NO_BATCH_NORM, "batchnorm", "leave it out")
    modes = [norm.training for norm in norms]
    used: dict[Any, tuple[Any, list[torch.Tensor]]] = {}

    def use_batch(norm: nn.Module, _: Any) -> None:
        """Normalize by the batch and add its statistics to the cumulative average, before a forward pass."""
        assert isinstance(norm, BATCH_NORMS)
        if norm not in used:
            used[norm] = norm.momentum, [buffer.clone() for buffer in norm.buffers()]
            norm.reset_running_stats()
            norm.momentum = None
        norm.train()  # all other layers, such as dropout and spectral normalization, stay in evaluation mode

    hooks = [norm.register_forward_pre_hook(use_batch) for norm in norms if norm.track_running_stats]
    other = randomness.key(seed, "standing statistics")
    block = system.block
    try:
        system.block = randomness.SAMPLES_PER_KEY  # statistics of smaller batches would be too small
        try:
            for _ in system.sample_blocks(batches * system.block, seed=other, truncation=truncation, ema=ema):
                pass
        finally:
            system.block = block
            for hook in hooks:
                hook.remove()
            for norm, training in zip(norms, modes, strict=True):
                norm.train(training)
        if not used:
            raise UserError(NO_BATCH_NORM, "batchnorm", "leave it out")
        yield
    finally:
        for changed, (momentum, buffers) in used.items():
            changed.momentum = momentum
            for buffer, value in zip(changed.buffers(), buffers, strict=True):
                buffer.copy_(value)
