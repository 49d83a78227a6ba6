"""Reproducible sampling: each seed defines an infinite sequence of samples, independent of batch size and ranks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from saddlepoint import randomness, trees
from saddlepoint.compilation import uncompiled
from saddlepoint.errors import UserError
from saddlepoint.systems import labels as label_laws
from saddlepoint.systems.capabilities import Draw, Picture, Shown
from saddlepoint.systems.game import Game
from saddlepoint.types import Batch

LARGEST = 128
"""Side of the largest square images of which 64 are generated at once."""


@contextmanager
def evaluating(*networks: nn.Module) -> Iterator[None]:
    """Set networks to evaluation mode, in which samples do not depend on each other, and restore the mode on exit."""
    before = [network.training for network in networks]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for network, training in zip(networks, before, strict=True):
            network.train(training)


def block_of(shape: Sequence[int]) -> int:
    """Return the number of samples that are generated at once: 64, and for images above 128 px fewer, to save memory.

    It divides 64, the number of samples whose latents are drawn together.

    >>> [block_of((3, side, side)) for side in (32, 128, 129, 256, 1024)]
    [64, 64, 32, 16, 1]
    """
    block = randomness.SAMPLES_PER_KEY
    while block > 1 and len(shape) == 3 and block * shape[1] * shape[2] > randomness.SAMPLES_PER_KEY * LARGEST**2:
        block //= 2
    return block


class Sampling(Game):
    """A game that generates samples. Subclasses implement :meth:`draw` and :meth:`generate`.

    Attributes:
        block: batch size of generation, see :func:`block_of`. It does not depend on the number of samples, because the
            last bits of a convolution's output depend on the batch size; so sample i is bitwise the same in a grid of
            64 and in an evaluation of 50,000.
        label_shares: class frequencies of the training data, float [K], from which labels are drawn; uniform until
            :meth:`learn_labels` is called. A buffer that only conditional systems have.
    """

    block: int = randomness.SAMPLES_PER_KEY
    label_shares: Tensor

    def draw(self, seed: int, start: int, count: int, truncation: float = 1.0) -> Draw:
        """Return the inputs of samples ``start … start + count - 1`` of the sequence of ``seed``, on the CPU.

        Row i depends only on the seed and i.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement draw()")

    def generate(self, draw: Draw, ema: bool) -> Tensor:
        """Return the samples of one block, generated in evaluation mode; called under ``no_grad``.

        Args:
            draw: the inputs, on the system's device.
            ema: whether to use the averaged weights.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement generate()")

    def draw_sample_labels(self, seed: int, start: int, count: int) -> Tensor | None:
        """Return labels keyed by (seed, sample index), long [count], on the CPU; None for an unconditional generator.

        They follow the label distribution of the training data, with which metrics compare samples.
        """
        return label_laws.keyed(self.label_shares, seed, start, count) if self.num_classes else None

    @torch.no_grad()
    def sample(
        self,
        n: int,
        labels: Tensor | None = None,
        latents: trees.Tree = None,
        condition: trees.Tree = None,
        seed: int | None = None,
        truncation: float = 1.0,
        ema: bool = True,
        start: int = 0,
        noise: trees.Tree = None,
    ) -> Tensor:
        """Return samples ``start … start + n - 1`` of the sequence of ``seed``.

        Args:
            n: number of samples.
            labels: long [n], for a conditional generator; by default they are drawn at random, keyed by the seed.
            latents: a tree of [n, ...] that replaces the random latents.
            condition: a tree of [n, ...], for a system with conditions other than labels.
            seed: seed of the sequence; by default the seed of the run.
            truncation: truncation of the latents, in (0, 1].
            ema: whether to use the averaged weights, if they exist.
            start: index of the first sample.
            noise: a tree of [n, ...] that replaces the random noise of the generator's layers, if it has such noise.

        Returns:
            Float [n, ...]; images are in [-1, 1]. Sample i is bitwise the same for any ``n`` and ``start``.

        Raises:
            UserError: labels were given for an unconditional generator, or are outside 0 … K - 1.
        """
        return torch.cat(list(self.sample_blocks(n, labels, latents, condition, seed, truncation, ema, start, noise)))

    def sample_blocks(
        self,
        n: int,
        labels: Tensor | None = None,
        latents: trees.Tree = None,
        condition: trees.Tree = None,
        seed: int | None = None,
        truncation: float = 1.0,
        ema: bool = True,
        start: int = 0,
        noise: trees.Tree = None,
    ) -> Iterator[Tensor]:
        """Yield the samples of :meth:`sample` in blocks, in bounded memory."""
        seed = self.seed if seed is None else seed
        if labels is not None:
            label_laws.check(labels, self.num_classes)
        position, end = start, start + n
        while position < end:
            first = position - position % self.block
            count = min(end, first + self.block) - position
            rows, offset = slice(position - start, position - start + count), position - first
            block = self.draw(seed, first, self.block, truncation)
            parts = (trees.take(tree, rows) for tree in (condition, noise))
            given = Draw(trees.take(latents, rows), None, *parts).padded(offset, self.block)
            if latents is not None:
                block = replace(block, latents=given.latents)
            if condition is not None:
                block = replace(block, condition=given.condition)
            if noise is not None:
                block = replace(block, noise=given.noise)
            if labels is not None and block.labels is not None:
                block.labels[offset : offset + count] = labels[rows].cpu()
            with torch.no_grad(), torch.autocast(self.device.type, enabled=False), uncompiled():
                samples = self.frozen_encoder.decode(self.generate(block.to(self.device), ema))
            yield samples[offset : offset + count]
            position += count

    def sample_classes(
        self, labels: Sequence[int], columns: int, seed: int | None = None, truncation: float = 1.0, ema: bool = True
    ) -> Tensor:
        """Return a row of samples for each label; the samples of a column have the same latents.

        Args:
            labels: labels of the R rows.
            columns: number of samples per row.
            seed: seed of the latents; by default the seed of the run.
            truncation: truncation of the latents, in (0, 1].
            ema: whether to use the averaged weights, if they exist.

        Returns:
            Float [R · columns, ...], in row-major order.

        Raises:
            UserError: the generator is unconditional, or a label is outside 0 … K - 1.
        """
        drawn = self.draw(self.seed if seed is None else seed, 0, columns, truncation).latents
        latents = trees.map_tree(lambda tensor: tensor.repeat(len(labels), *[1] * (tensor.dim() - 1)), drawn)
        rows = torch.tensor(labels).repeat_interleave(columns)
        return self.sample(len(rows), rows, latents, seed=seed, truncation=truncation, ema=ema)

    def learn_labels(self, counts: Tensor) -> None:
        """Set the label distribution of samples to that of the training data.

        Args:
            counts: number of training samples of each class, long [K].

        Raises:
            UserError: the generator has a different number of classes.
        """
        if len(counts) != self.num_classes:
            raise UserError(f"the data has {len(counts)} classes and the generator was built for {self.num_classes}")
        self.label_shares.copy_(counts / counts.sum())

    def pictures(self, n: int, seed: int, held_out: Batch | None) -> Mapping[str, Shown]:
        """Return a grid of samples; for a conditional generator with one row per class, of the first classes."""
        if not self.num_classes:
            return {"samples": Picture(self.sample(n, seed=seed))}
        rows = min(self.num_classes, math.isqrt(n))
        columns = n // rows
        return {"samples": Picture(self.sample_classes(range(rows), columns, seed), columns)}
