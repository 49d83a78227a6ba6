"""Two loaders with bitwise identical batches: one for tables in memory, one that decodes in worker processes.

Order, crops, flips and random binarisation depend only on the position, which is the number of images consumed by all
ranks. Both loaders crop, flip, binarise and normalise on the training device.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, Protocol, Required, TypedDict, TypeVar, Unpack

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from saddlepoint import trees
from saddlepoint.data import transforms
from saddlepoint.data.schedule import Schedule
from saddlepoint.data.stream import Draws, IndexStream, Stream
from saddlepoint.errors import UserError
from saddlepoint.types import BATCHES, Batch

READ_AHEAD = 1 << 14  # positions whose draws are moved to the device at once, instead of batch by batch
PREFETCH = 4  # batches per worker


class Readable(Protocol):
    """A column with random access, such as a tensor. Must be picklable to be sent to worker processes."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Tensor:
        """Return an image, uint8 [H, W, C], or a point, float32 [D].

        Raises:
            UserError: its file is corrupt.
        """


C_co = TypeVar("C_co", bound=Readable, covariant=True)


@dataclass(frozen=True)
class Rows(Generic[C_co]):
    """A table in the form that loaders read.

    Attributes:
        columns: by name, all with the same number of rows.
        labels: of the rows, long [N], or None; at most one table of a loader has labels.
        blocks: numbers of consecutive rows that should be read together, see
            :class:`~saddlepoint.data.stream.IndexStream`, or None.
        binarised: shape (H, W, C) of the batches' images if they are binarised at random, else None.
    """

    columns: Mapping[str, C_co]
    labels: Tensor | None = None
    blocks: Sequence[int] | None = None
    binarised: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


def check_batch(batch_size: int, world_size: int, n: int) -> None:
    """Check that a global batch is not larger than the data.

    Raises:
        UserError: ``batch_size * world_size > n``.
    """
    if batch_size * world_size > n:
        ranks = f" on each of {world_size} ranks" if world_size > 1 else ""
        problem = f"{batch_size}{ranks} is more than the {n:,} training samples"
        raise UserError(problem, "batch_size", "reduce it")


class LoaderOptions(TypedDict, total=False):
    """Options of both loaders.

    Attributes:
        batch_size: number of images per rank and batch.
        seed: of orders, crops and flips.
        start: number of images consumed so far by all ranks, or a function that returns it; called when iteration
            begins.
        stop: the budget in images over all ranks, see :class:`~saddlepoint.data.schedule.Schedule`; None for no limit.
        rank: of this process.
        world_size: number of processes.
        flip: mirror half of the images.
        jitter: number of pixels by which the tables' images exceed those of batches, which are random crops of them.
        device: of the batches.
    """

    batch_size: Required[int]
    seed: Required[int]
    start: int | Callable[[], int]
    stop: int | None
    rank: int
    world_size: int
    flip: bool
    jitter: int
    device: torch.device | str


class _Loader:
    """Base class of both loaders: the schedule, the random draws, and building batches from rows.

    Args:
        tables: one, or several that are shuffled independently.
        options: see :class:`LoaderOptions`.

    Raises:
        UserError: a batch is larger than a table.
    """

    def __init__(self, tables: Sequence[Rows[Readable]], **options: Unpack[LoaderOptions]):
        batch_size, world_size = options["batch_size"], options.get("world_size", 1)
        self.schedule = Schedule(batch_size, options.get("stop"), options.get("rank", 0), world_size)
        check_batch(batch_size, world_size, min(len(table) for table in tables))
        self.device = torch.device(options.get("device", "cpu"))
        self.labels = [None if table.labels is None else table.labels.to(self.device) for table in tables]
        self.jitter = options.get("jitter", 0)
        draws = options["seed"], options.get("flip", False), self.jitter
        names = [next(iter(table.columns)) if len(tables) > 1 else "" for table in tables]
        self.streams = [
            Stream(len(table), *draws, name, table.blocks, table.binarised)
            for table, name in zip(tables, names, strict=True)
        ]
        self._start = options.get("start", 0)

    @property
    def start(self) -> int:
        """The position at which the next iteration begins."""
        return self._start() if callable(self._start) else self._start

    def _draws(self) -> Iterator[list[Draws]]:
        """Yield each batch's draws, one element per table, on the device."""
        spans = self.schedule.spans(self.start)
        while chunk := list(islice(spans, max(1, READ_AHEAD // self.schedule.batch_size))):
            drawn = [trees.concatenate(*(stream.draw(*span) for span in chunk)) for stream in self.streams]
            ahead, end = trees.to(drawn, self.device), 0
            for _, count in chunk:
                start, end = end, end + count
                yield trees.take(ahead, slice(start, end))

    def _batch(self, fetched: Sequence[Mapping[str, Tensor]], draws: Sequence[Draws]) -> Batch:
        """Return the batch that consists of these rows of the tables."""
        fields: dict[str, Tensor] = {}
        labels = None
        for rows, drawn, known in zip(fetched, draws, self.labels, strict=True):
            fields |= {name: self._transformed(values, drawn) for name, values in rows.items()}
            labels = known[drawn.indices] if known is not None else labels
        kind: Any = BATCHES[tuple(fields)]
        batch: Batch = kind(**fields, labels=labels)
        return batch

    def _transformed(self, values: Tensor, drawn: Draws) -> Tensor:
        """Return rows as network inputs: images cropped, mirrored, binarised and normalized; points unchanged."""
        if values.dim() != 4:
            return values
        if drawn.corners is not None:
            values = transforms.crop(values, drawn.corners, self.jitter)
        if drawn.flips is not None:
            values = transforms.mirror(values, drawn.flips)
        if drawn.thresholds is not None:
            values = transforms.binarise(values, drawn.thresholds)
        return transforms.normalise(values)


class MemoryLoader(_Loader):
    """An iterable over batches of tables that are kept on the training device.

    Images are kept as uint8 [N, H, W, C]: a quarter of the size of floats, gathered in one operation, and
    channels_last without a copy.

    Args:
        tables: images, uint8 [N, H, W, C], and points, float32 [N, D]; one table, or two for unpaired data.
        options: see :class:`LoaderOptions`.

    >>> table = Rows({"images": torch.zeros(8, 4, 4, 1, dtype=torch.uint8)})
    >>> [tuple(batch.samples.shape) for batch in MemoryLoader(table, batch_size=4, seed=0, stop=9)]
    [(4, 1, 4, 4), (5, 1, 4, 4)]
    """

    def __init__(self, *tables: Rows[Tensor], **options: Unpack[LoaderOptions]):
        super().__init__(tables, **options)
        self.columns = [trees.to(dict(table.columns), self.device) for table in tables]

    def __iter__(self) -> Iterator[Batch]:
        for draws in self._draws():
            fetched = [  # index_select copies whole rows; indexing copies byte by byte
                {name: column.index_select(0, drawn.indices) for name, column in columns.items()}
                for columns, drawn in zip(self.columns, draws, strict=True)
            ]
            yield self._batch(fetched, draws)


class WorkerLoader(_Loader):
    """An iterable over batches that worker processes decode, for data that does not fit in memory.

    The batches are those of :class:`MemoryLoader`.

    Args:
        tables: one table, or two for unpaired data.
        num_workers: number of worker processes; 0 decodes in this process.
        options: see :class:`LoaderOptions`.
    """

    def __init__(self, *tables: Rows[Readable], num_workers: int = 2, **options: Unpack[LoaderOptions]):
        super().__init__(tables, **options)
        self.columns = [table.columns for table in tables]
        self.num_workers = num_workers

    def __iter__(self) -> Iterator[Batch]:
        loader = DataLoader(
            _Fetch(self.columns),
            batch_sampler=_Spans([stream.indices for stream in self.streams], self.schedule, self.start),
            num_workers=self.num_workers,
            collate_fn=_stacked_already,
            pin_memory=self.device.type == "cuda",
            prefetch_factor=PREFETCH if self.num_workers else None,
            worker_init_fn=_ignore_first_signals,
            generator=torch.Generator(),  # otherwise the workers' seed is drawn from the global generator
        )
        for draws, fetched in zip(self._draws(), loader, strict=True):
            if isinstance(fetched, UserError):
                raise fetched
            moved = trees.map_tree(lambda rows: rows.to(self.device, non_blocking=True), fetched)
            yield self._batch(moved, draws)


class _Spans(Sampler[list[list[int]]]):
    """The indices of :meth:`_Loader._draws` for the workers: for each batch, one list per table."""

    def __init__(self, streams: Sequence[IndexStream], schedule: Schedule, start: int):
        self.streams, self.schedule, self.start = streams, schedule, start

    def __iter__(self) -> Iterator[list[list[int]]]:
        for position, count in self.schedule.spans(self.start):
            yield [stream.take(position, count).tolist() for stream in self.streams]


class _Fetch(Dataset[Any]):
    """Stacks a batch in the worker.

    The error of a corrupt file is returned instead of raised, because torch would wrap it in a traceback.
    """

    def __init__(self, tables: Sequence[Mapping[str, Readable]]):
        self.tables = tables

    def __getitems__(self, indices: list[list[int]]) -> list[dict[str, Tensor]] | UserError:
        try:
            return [
                {name: torch.stack([column[index] for index in rows]) for name, column in columns.items()}
                for columns, rows in zip(self.tables, indices, strict=True)
            ]
        except UserError as error:
            return error


def _ignore_first_signals(worker: int) -> None:
    """Keep a worker alive until the run has finished its round: Ctrl-C and schedulers signal all processes of a run.

    Only the first SIGTERM is ignored, as PyTorch and multiprocessing end a worker that hangs by SIGTERM.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.signal(number, signal.SIG_DFL))


def _stacked_already(fetched: Any) -> Any:
    return fetched


class Lists:
    """Groups a loader's batches into lists that end at multiples of ``size`` batches.

    Args:
        loader: an iterable of batches.
        size: number of batches in a list.
        done: returns the number of batches consumed before; called when iteration begins.

    >>> [len(batches) for batches in Lists(range(7), 3, lambda: 2)]
    [1, 3, 3]
    """

    def __init__(self, loader: Iterable[Any], size: int, done: Callable[[], int]):
        self.loader, self.size, self.done = loader, size, done

    def __iter__(self) -> Iterator[list[Any]]:
        batches, size = iter(self.loader), self.size - self.done() % self.size
        while chunk := list(islice(batches, size)):
            yield chunk
            size = self.size
