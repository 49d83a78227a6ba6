"""Evaluation of a set of samples by all processes: rank 0 broadcasts a task, and each draws and processes a share."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import torch
import torch.distributed as dist
from torch import Tensor

from saddlepoint import ranks
from saddlepoint.data import DataModule
from saddlepoint.evaluation.base import AT_ONCE, Judge
from saddlepoint.evaluation.drawing import RUNNING, Drawing
from saddlepoint.evaluation.pictures import ImagesAt
from saddlepoint.metrics.base import Need
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.metrics.features import FeatureExtractor
from saddlepoint.metrics.quantise import quantise
from saddlepoint.metrics.rows import RealData
from saddlepoint.metrics.sharding import collect, gather, shard
from saddlepoint.systems.capabilities import Generates, Translates
from saddlepoint.systems.game import Game
from saddlepoint.types import DataInfo, Split


class Task(NamedTuple):
    """The parameters of an evaluation that rank 0 broadcasts.

    Attributes:
        n: number of samples of all processes.
        seed: of the samples.
        ema: use the averaged weights, if there are any.
        labelled: whether to return the labels that samples are conditioned on.
        needs: what the metrics need a pass to keep.
        extractor: the state of rank 0's extractor; None if the others have it already.
    """

    n: int
    seed: int
    ema: bool
    labelled: bool
    needs: frozenset[Need]
    extractor: dict[str, Any] | None


class Samples(Protocol):
    """The source of a set of samples."""

    def draw(self, system: Game, task: Task) -> tuple[Iterator[Tensor], Tensor | None]:
        """Return this process's share of the samples, uint8 in blocks, and the labels they are conditioned on."""

    def images_at(self, system: Game, seed: int, ema: bool) -> ImagesAt:
        """Return a function that computes samples again by their indices."""

    def real(self, data: DataModule) -> RealData:
        """Return the real images that the samples are compared with."""


class Generated:
    """Samples that a system generates.

    Args:
        drawing: how they are drawn.
    """

    def __init__(self, drawing: Drawing = RUNNING) -> None:
        self.drawing = drawing

    def draw(self, system: Game, task: Task) -> tuple[Iterator[Tensor], Tensor | None]:
        """See :meth:`Samples.draw`."""
        assert isinstance(system, Generates)
        start, count = shard(task.n)
        blocks = self.drawing.blocks(system, count, task.seed, task.ema, start)
        labels = system.draw_sample_labels(task.seed, start, count) if task.labelled else None
        return (quantise(block) for block in blocks), labels

    def images_at(self, system: Game, seed: int, ema: bool) -> ImagesAt:
        """See :meth:`Samples.images_at`."""
        assert isinstance(system, Generates)
        size = system.block

        def images_at(indices: Tensor) -> Tensor:
            wanted = (indices // size).unique().tolist()
            found = self.drawing.starting_at(system, [block * size for block in wanted], size, seed, ema)
            blocks = {block: quantise(samples).cpu() for block, samples in zip(wanted, found, strict=True)}
            return torch.stack([blocks[index // size][index % size] for index in indices.tolist()])

        return images_at

    def real(self, data: DataModule) -> RealData:
        """See :meth:`Samples.real`."""
        return data


class Translated:
    """Held-out images that a system translates.

    Args:
        data: the data set.
        direction: of the translation.
        source: name of the column of inputs.
        target: name of the column that outputs are compared with.
    """

    def __init__(self, data: DataModule, direction: str, source: str, target: str) -> None:
        self.data, self.direction, self.source, self.target = data, direction, source, target

    def draw(self, system: Game, task: Task) -> tuple[Iterator[Tensor], Tensor | None]:
        """See :meth:`Samples.draw`."""
        start, count = shard(task.n)
        return self._blocks(system, task.seed, task.ema, range(start, start + count)), None

    def _blocks(self, system: Game, seed: int, ema: bool, rows: range) -> Iterator[Tensor]:
        assert isinstance(system, Translates)
        for start in range(rows.start, rows.stop, AT_ONCE):
            images = self.data.column("held_out", self.source, start, min(AT_ONCE, rows.stop - start))
            images = images.to(system.device)
            yield quantise(system.translate(images, self.direction, seed, ema, start))

    def images_at(self, system: Game, seed: int, ema: bool) -> ImagesAt:
        """See :meth:`Samples.images_at`."""

        def images_at(indices: Tensor) -> Tensor:
            rows = range(int(indices.max()) + 1)
            return torch.cat(list(self._blocks(system, seed, ema, rows))).cpu()[indices]

        return images_at

    def real(self, data: DataModule) -> RealData:
        """See :meth:`Samples.real`."""
        return Column(data, self.target)


class Column:
    """A column of a data set as a data set without labels, for real statistics.

    Args:
        data: the data set.
        name: of the column.
    """

    def __init__(self, data: DataModule, name: str) -> None:
        self.data, self.name = data, name
        info, columns = data.info, data.info.columns or {}
        self.info: DataInfo = dataclasses.replace(
            info,
            name=f"{info.name}/{name}",
            shape=columns[name],
            sizes={split: data.size(split, name) for split in info.sizes},
            columns=None,
            class_names=None,
            fingerprint=f"{info.fingerprint} {name}",
        )

    def uint8_batches(self, split: Split, batch_size: int = 500) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield the column's images, uint8 [N, C, H, W], in their fixed order."""
        return self.data.uint8_batches(split, batch_size, column=self.name)


def announce(task: Task) -> None:
    """Broadcast the task from rank 0 to the other processes, if there are any."""
    if ranks.world_size() > 1:
        dist.broadcast_object_list([task], src=0)


class Assistant(Judge):
    """The judge of ranks other than 0, which processes their share of the samples and returns no cards.

    Args:
        samples: the source of the samples, as on rank 0.
        extractor: the class of rank 0's extractor, whose state is part of the first task.
        cache_dir: directory in which extractors are cached.
    """

    monitor = "rank 0's"

    def __init__(self, samples: Samples, extractor: type[FeatureExtractor], cache_dir: Path) -> None:
        self.samples, self.kind, self.cache_dir = samples, extractor, cache_dir
        self.extractor: FeatureExtractor | None = None

    def score(self, system: Game) -> list[ScoreCard]:
        """Receive rank 0's task and process this rank's share."""
        received: list[Task | None] = [None]
        dist.broadcast_object_list(received, src=0)
        task = cast("Task", received[0])
        if task.extractor is not None:
            self.extractor = self.kind.from_state(task.extractor, self.cache_dir)
        assert self.extractor is not None
        images, labels = self.samples.draw(system, task)
        gather(collect(images, shard(task.n)[1], task.needs, self.extractor.to(system.device), labels))
        return []
