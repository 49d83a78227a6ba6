"""How the processes of a run share an evaluation: rank 0 says what is wanted, and each draws and looks at its part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch.distributed as dist
from PIL import Image
from torch import Tensor

from saddlepoint import ranks
from saddlepoint.metrics.base import Need
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.metrics.features import FeatureExtractor
from saddlepoint.metrics.quantise import quantise
from saddlepoint.metrics.shares import collect, joined, share
from saddlepoint.systems.game import Game


class Task(NamedTuple):
    """What an evaluation wants of every process.

    Attributes:
        n: samples in all.
        seed: of the samples.
        ema: from the averaged generator where there is one.
        labelled: whether the labels that were asked for are wanted too.
        needs: what to keep of the pass.
        extractor: the state of rank 0's extractor; None where the others have it already.
    """

    n: int
    seed: int
    ema: bool
    labelled: bool
    needs: frozenset[Need]
    extractor: dict[str, Any] | None


def announce(task: Task) -> None:
    """Tell the other processes, on rank 0, where there are any."""
    if ranks.world_size() > 1:
        dist.broadcast_object_list([task], src=0)


def draw(system: Game, task: Task) -> tuple[Iterator[Tensor], Tensor | None]:
    """Return this process's share of the samples, uint8 block by block, and the labels that they are asked for."""
    start, count = share(task.n)
    blocks = system.sample_blocks(count, seed=task.seed, ema=task.ema, start=start)
    labels = system.draw_sample_labels(task.seed, start, count) if task.labelled else None
    return (quantise(block) for block in blocks), labels


class Assistant:
    """The scorer of ranks other than 0: it does its share and keeps no score.

    Args:
        extractor: the class of rank 0's, whose state comes with the first task.
        cache_dir: where extractors are kept.
        revision: of the code.
    """

    monitor: str | None = "rank 0's"

    def __init__(self, extractor: type[FeatureExtractor], cache_dir: Path, revision: str) -> None:
        self.kind, self.cache_dir, self.revision = extractor, cache_dir, revision
        self.extractor: FeatureExtractor | None = None

    def score(self, system: Game) -> list[ScoreCard]:
        """Wait for rank 0's task, and do a share of it."""
        received: list[Task | None] = [None]
        dist.broadcast_object_list(received, src=0)
        task = cast("Task", received[0])
        if task.extractor is not None:
            self.extractor = self.kind.from_state(task.extractor, self.cache_dir)
        assert self.extractor is not None
        images, labels = draw(system, task)
        joined(collect(images, share(task.n)[1], task.needs, self.extractor.to(system.device), labels))
        return []

    def at(self, seed: int) -> Assistant:
        """Itself: rank 0 says by which seed."""
        return self

    def pictures(self, system: Game, cards: Sequence[ScoreCard]) -> Mapping[str, Image.Image]:
        """None: rank 0 draws them."""
        return {}

    def state(self) -> dict[str, Any]:
        """Nothing: rank 0 writes the checkpoints."""
        return {"scoring": None}
