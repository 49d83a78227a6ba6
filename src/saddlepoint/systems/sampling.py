"""How systems generate: from one endless table a seed, whose row i depends on neither batch size nor ranks."""

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
from saddlepoint.systems.capabilities import Draw, Picture
from saddlepoint.systems.game import Game
from saddlepoint.types import Batch


@contextmanager
def evaluating(*networks: nn.Module) -> Iterator[None]:
    """Put networks into evaluation mode, so that a sample's output does not depend on its neighbours'; then back."""
    before = [network.training for network in networks]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for network, training in zip(networks, before, strict=True):
            network.train(training)


class Sampling(Game):
    """A game that generates samples: the one door through which they come.

    A system overrides :meth:`draw` and :meth:`generate`.

    Attributes:
        block: samples are generated in whole blocks of so many, whatever was asked for. A convolution's last bits
            depend on the batch size; so sample i is the same to the bit in a grid of 64 and in an evaluation of 50,000.
        label_shares: float [K], the classes' shares of the training data, from which labels are drawn; uniform until
            the data has been seen. Conditional systems alone have it, and checkpoints keep it.
    """

    block: int = randomness.SAMPLES_PER_KEY
    label_shares: Tensor

    def draw(self, seed: int, start: int, count: int, truncation: float = 1.0) -> Draw:
        """Return what samples ``start … start + count - 1`` of the table are generated from, on the CPU.

        Row i depends on the seed and i alone.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement draw()")

    def generate(self, draw: Draw, ema: bool) -> Tensor:
        """Generate from one block on the system's device, in evaluation mode; called under no_grad."""
        raise NotImplementedError(f"{type(self).__name__} must implement generate()")

    def draw_sample_labels(self, seed: int, start: int, count: int) -> Tensor | None:
        """Return labels keyed by (seed, sample index), long [count], on the CPU; None without conditioning.

        They follow the training data's label distribution, which is what scores compare with.
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
    ) -> Tensor:
        """Generate samples ``start … start + n - 1`` of the endless table that ``seed`` names.

        Args:
            n: how many.
            labels: long [n], for a conditional generator; by default they are drawn from the table too.
            latents: a tree of [n, ...]; instead of the table's.
            condition: a tree of [n, ...], for a system that is told more than labels.
            seed: the table; the run's own seed by default.
            truncation: of the latents, in (0, 1].
            ema: from the averaged weights, where the system keeps some.
            start: index of the first sample.

        Returns:
            Float [n, ...], images in [-1, 1]; the same to the bit for any n and start that contain a sample.

        Raises:
            UserError: labels for an unconditional generator, or outside 0 … K - 1.
        """
        return torch.cat(list(self.sample_blocks(n, labels, latents, condition, seed, truncation, ema, start)))

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
    ) -> Iterator[Tensor]:
        """Generate as :meth:`sample` does, block by block, in bounded memory."""
        seed = self.seed if seed is None else seed
        if labels is not None:
            label_laws.check(labels, self.num_classes)
        position, end = start, start + n
        while position < end:
            first = position - position % self.block
            count = min(end, first + self.block) - position
            rows, offset = slice(position - start, position - start + count), position - first
            block = self.draw(seed, first, self.block, truncation)
            given = Draw(trees.take(latents, rows), None, trees.take(condition, rows)).padded(offset, self.block)
            if latents is not None:
                block = replace(block, latents=given.latents)
            if condition is not None:
                block = replace(block, condition=given.condition)
            if labels is not None and block.labels is not None:
                block.labels[offset : offset + count] = labels[rows].cpu()
            with torch.no_grad(), torch.autocast(self.device.type, enabled=False), uncompiled():
                samples = self.frozen_encoder.decode(self.generate(block.to(self.device), ema))
            yield samples[offset : offset + count]
            position += count

    def sample_classes(
        self, labels: Sequence[int], columns: int, seed: int | None = None, truncation: float = 1.0, ema: bool = True
    ) -> Tensor:
        """Generate a row of samples a label, the latents of a column all the same.

        Args:
            labels: of the rows, R of them.
            columns: samples a row.
            seed: of the table whose first latents the columns take.
            truncation: of the latents.
            ema: from the averaged weights.

        Returns:
            Float [R · columns, ...], row by row.

        Raises:
            UserError: the generator is unconditional, or has no such class.
        """
        drawn = self.draw(self.seed if seed is None else seed, 0, columns, truncation).latents
        latents = trees.map_tree(lambda tensor: tensor.repeat(len(labels), *[1] * (tensor.dim() - 1)), drawn)
        rows = torch.tensor(labels).repeat_interleave(columns)
        return self.sample(len(rows), rows, latents, ema=ema)

    def learn_labels(self, counts: Tensor) -> None:
        """Take the label distribution that samples follow from the training data's ``counts``, long [K].

        Raises:
            UserError: the generator was built for another number of classes.
        """
        if len(counts) != self.num_classes:
            raise UserError(f"the data has {len(counts)} classes and the generator was built for {self.num_classes}")
        self.label_shares.copy_(counts / counts.sum())

    def pictures(self, n: int, seed: int, held_out: Batch | None) -> Mapping[str, Picture]:
        """Return samples; of a conditional generator a row a class, for as many classes as there are columns."""
        if not self.num_classes:
            return {"samples": Picture(self.sample(n, seed=seed))}
        rows = min(self.num_classes, math.isqrt(n))
        columns = n // rows
        return {"samples": Picture(self.sample_classes(range(rows), columns, seed), columns)}
