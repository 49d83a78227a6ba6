"""How every system samples: from one endless table a seed, whose row i depends on neither batch size nor ranks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from saddlepoint import randomness
from saddlepoint.compilation import uncompiled
from saddlepoint.errors import UserError
from saddlepoint.systems import labels as label_laws

SAMPLE_BLOCK = randomness.SAMPLES_PER_KEY
"""Generators run on whole blocks of this many samples, whatever was asked for. A convolution's last bits depend on the
batch size; so sample i is the same to the bit in a grid of 64 and in an evaluation of 50,000."""


class Sampling(pl.LightningModule):
    """The one door through which samples come.

    A system overrides :meth:`draw_sample_latents` and :meth:`sample_block`.

    Attributes:
        networks: by role; a conditional ``generator`` says so by ``num_classes``.
        seed: the key of all randomness.
        label_shares: float [K], the classes' shares of the training data, from which labels are drawn; uniform until
            the data has been seen. Conditional systems alone have it, and checkpoints keep it.
    """

    networks: Mapping[str, nn.Module]
    seed: int
    label_shares: Tensor

    @property
    def num_classes(self) -> int:
        """Number of classes that the generator is conditioned on; 0 if it is unconditional."""
        return int(getattr(self.networks.get("generator"), "num_classes", 0))

    def draw_sample_latents(self, seed: int, start: int, count: int, truncation: float) -> Tensor:
        """Return latents keyed by (seed, sample index), [count, Z], on the CPU."""
        raise NotImplementedError(f"{type(self).__name__} draws no latents")

    def sample_block(self, latents: Tensor, labels: Tensor | None, ema: bool) -> Tensor:
        """Generate from one block of latents, in evaluation mode."""
        raise NotImplementedError(f"{type(self).__name__} generates no samples")

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
        latents: Tensor | None = None,
        seed: int | None = None,
        truncation: float = 1.0,
        ema: bool = True,
        start: int = 0,
    ) -> Tensor:
        """Generate samples ``start … start + n - 1`` of the endless table that ``seed`` names.

        Args:
            n: how many.
            labels: long [n], for a conditional generator; by default they are drawn from the table too.
            latents: [n, Z]; instead of the table's.
            seed: the table; the run's own seed by default.
            truncation: of the latents, in (0, 1].
            ema: from the averaged weights, where the system keeps some.
            start: index of the first sample.

        Returns:
            Float [n, ...], images in [-1, 1]; the same to the bit for any n and start that contain a sample.

        Raises:
            UserError: labels for an unconditional generator, or outside 0 … K - 1.
        """
        blocks = self.sample_blocks(n, labels, latents, seed, truncation, ema, start)
        return torch.cat(list(blocks))

    def sample_blocks(
        self,
        n: int,
        labels: Tensor | None = None,
        latents: Tensor | None = None,
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
            first = position - position % SAMPLE_BLOCK if latents is None else position
            count = min(end, first + SAMPLE_BLOCK) - position
            rows = slice(position - start, position - start + count)
            if latents is None:
                block = self.draw_sample_latents(seed, first, SAMPLE_BLOCK, truncation)
                offset = position - first
            else:
                block, offset = _padded(latents[rows]), 0
            block_labels = self.draw_sample_labels(seed, first, SAMPLE_BLOCK)
            if labels is not None and block_labels is not None:
                block_labels[offset : offset + count] = labels[rows].cpu()
            with torch.no_grad(), torch.autocast(self.device.type, enabled=False), uncompiled():
                on_device = None if block_labels is None else block_labels.to(self.device)
                samples = self.sample_block(block.to(self.device), on_device, ema)
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
        latents = self.draw_sample_latents(self.seed if seed is None else seed, 0, columns, truncation)
        latents = latents.repeat(len(labels), *[1] * (latents.dim() - 1))
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


def _padded(latents: Tensor) -> Tensor:
    """Fill a block of latents up with copies of its first row."""
    missing = SAMPLE_BLOCK - len(latents)
    return torch.cat([latents, latents[:1].expand(missing, *latents.shape[1:])]) if missing else latents
