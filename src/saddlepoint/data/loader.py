"""Two loaders that yield the same batches, bit for bit: data in memory, and data decoded by worker processes.

Order, batches and flips are functions of the position alone (images consumed over all ranks), and both loaders flip and
normalise in the same place, on the training device.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Protocol, Required, TypedDict, Unpack

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from saddlepoint.data.schedule import Schedule
from saddlepoint.data.stream import IndexStream
from saddlepoint.errors import UserError
from saddlepoint.randomness import rows
from saddlepoint.types import Batch, ImageBatch, VectorBatch

READ_AHEAD = 1 << 14  # positions whose indices and flips go to the device at once, rather than batch by batch
PREFETCH = 4  # batches each worker keeps ready


def normalise(pixels: Tensor) -> Tensor:
    """Map uint8 [N, H, W, C] to float32 [N, C, H, W] in [-1, 1], 0 to -1 and 255 to 1; channels_last at no cost."""
    return pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def flips(seed: int, start: int, count: int) -> Tensor:
    """Whether the images at positions ``start …`` are mirrored: bool [count], on the CPU."""
    return rows(lambda n, random: torch.rand(n, generator=random) < 0.5, seed, "flip", start, count)


def mirror(pixels: Tensor, flip: Tensor) -> Tensor:
    """Mirror those images of uint8 [N, H, W, C] whose ``flip``, bool [N], is set."""
    # bits chosen by a mask of 0 or 255: four times as fast as torch.where on bytes, and no wait for a count on a GPU
    mask = flip.to(torch.uint8).neg()[:, None, None, None]
    return pixels ^ ((pixels ^ pixels.flip(2)) & mask)


def check_batch(batch_size: int, world_size: int, n: int) -> None:
    """Refuse a batch larger than the data.

    Raises:
        UserError: ``batch_size * world_size > n``.
    """
    if batch_size * world_size > n:
        ranks = f" on each of {world_size} ranks" if world_size > 1 else ""
        raise UserError(f"batch_size: {batch_size}{ranks} is more than the {n:,} training samples; make it smaller")


class LoaderOptions(TypedDict, total=False):
    """What every loader takes.

    Attributes:
        batch_size: images a rank and batch.
        seed: of the order and the flips.
        start: images that all ranks together have consumed; where a function, it is called when iteration begins.
        stop: the budget in images over all ranks, see :class:`~saddlepoint.data.schedule.Schedule`; None for no end.
        rank: this process.
        world_size: number of processes.
        flip: mirror half of the images.
        device: where batches lie.
    """

    batch_size: Required[int]
    seed: Required[int]
    start: int | Callable[[], int]
    stop: int | None
    rank: int
    world_size: int
    flip: bool
    device: torch.device | str


class _Loader:
    """What both loaders share: the schedule, the order and the way from pixels to a batch.

    Args:
        n: number of training samples.
        labels: long [N], or None.
        options: what every loader takes.

    Raises:
        UserError: a batch is larger than the data.
    """

    def __init__(self, n: int, labels: Tensor | None, **options: Unpack[LoaderOptions]):
        batch_size, world_size = options["batch_size"], options.get("world_size", 1)
        self.schedule = Schedule(batch_size, options.get("stop"), options.get("rank", 0), world_size)
        check_batch(batch_size, world_size, n)
        self.stream = IndexStream(n, options["seed"])
        self.device = torch.device(options.get("device", "cpu"))
        self.labels = None if labels is None else labels.to(self.device)
        self.flip = options.get("flip", False)
        self._start = options.get("start", 0)

    @property
    def start(self) -> int:
        """The position at which iteration begins now."""
        return self._start() if callable(self._start) else self._start

    def _draws(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield each batch's indices, long [n], and flips, bool [n] or None, on the device."""
        spans = self.schedule.spans(self.start)
        batches = max(1, READ_AHEAD // self.schedule.batch_size)
        while chunk := list(islice(spans, batches)):
            sizes = [count for _, count in chunk]
            indices = torch.cat([self.stream.take(*span) for span in chunk]).to(self.device).split(sizes)
            if self.flip:
                flip = torch.cat([flips(self.stream.seed, *span) for span in chunk]).to(self.device)
                yield from zip(indices, flip.split(sizes), strict=True)
            else:
                yield from ((index, None) for index in indices)

    def _images(self, pixels: Tensor, indices: Tensor, flip: Tensor | None) -> ImageBatch:
        pixels = pixels if flip is None else mirror(pixels, flip)
        return ImageBatch(normalise(pixels), self._labels_of(indices))

    def _labels_of(self, indices: Tensor) -> Tensor | None:
        return None if self.labels is None else self.labels[indices]


class MemoryLoader(_Loader):
    """Batches of samples that lie on the training device as they are; iterate to get them.

    Images are kept as uint8 [N, H, W, C], a quarter of their float size, so that a batch is one gather, and
    channels_last without a copy.

    Args:
        samples: images, uint8 [N, H, W, C], or points, float32 [N, D].
        labels: long [N], or None.
        options: see the base class: batch_size, seed, start, stop, rank, world_size, flip, device.

    >>> loader = MemoryLoader(torch.zeros(8, 4, 4, 1, dtype=torch.uint8), batch_size=4, seed=0, stop=9)
    >>> [tuple(batch.samples.shape) for batch in loader]
    [(4, 1, 4, 4), (5, 1, 4, 4)]
    """

    def __init__(self, samples: Tensor, labels: Tensor | None = None, **options: Unpack[LoaderOptions]):
        super().__init__(len(samples), labels, **options)
        self.samples = samples.to(self.device)

    def __iter__(self) -> Iterator[Batch]:
        for indices, flip in self._draws():
            chosen = self.samples.index_select(0, indices)  # copies whole rows; indexing goes byte by byte
            if chosen.dim() == 2:
                yield VectorBatch(chosen, self._labels_of(indices))
            else:
                yield self._images(chosen, indices, flip)


class Decodes(Protocol):
    """Random access to images on disk; picklable, as it travels to worker processes."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Tensor:
        """Return an image, uint8 [H, W, C].

        Raises:
            UserError: its file is broken.
        """


class WorkerLoader(_Loader):
    """Batches decoded by worker processes, for data that does not fit in memory; the same as :class:`MemoryLoader`'s.

    Args:
        dataset: what the workers decode.
        labels: long [N], or None.
        num_workers: number of processes; 0 decodes in this one.
        options: see the base class: batch_size, seed, start, stop, rank, world_size, flip, device.
    """

    def __init__(
        self, dataset: Decodes, labels: Tensor | None = None, *, num_workers: int = 2, **options: Unpack[LoaderOptions]
    ):
        super().__init__(len(dataset), labels, **options)
        self.dataset = dataset
        self.num_workers = num_workers

    def __iter__(self) -> Iterator[Batch]:
        loader = DataLoader(
            _Fetch(self.dataset),
            batch_sampler=_Spans(self.stream, self.schedule, self.start),
            num_workers=self.num_workers,
            collate_fn=_whole,
            pin_memory=self.device.type == "cuda",
            prefetch_factor=PREFETCH if self.num_workers else None,
            worker_init_fn=_leave_signals_to_the_run,
            generator=torch.Generator(),  # else it draws its workers' seed from the global stream
        )
        for (indices, flip), fetched in zip(self._draws(), loader, strict=True):
            if isinstance(fetched, UserError):
                raise fetched
            yield self._images(fetched.to(self.device, non_blocking=True), indices, flip)


class _Spans(Sampler[list[int]]):
    """The same indices as :meth:`_Loader._draws`, for the workers."""

    def __init__(self, stream: IndexStream, schedule: Schedule, start: int):
        self.stream, self.schedule, self.start = stream, schedule, start

    def __iter__(self) -> Iterator[list[int]]:
        for position, count in self.schedule.spans(self.start):
            yield self.stream.take(position, count).tolist()


class _Fetch(Dataset[Tensor]):
    """Stacks a batch in the worker. A broken file is returned, not raised: torch would wrap it in a traceback."""

    def __init__(self, dataset: Decodes):
        self.dataset = dataset

    def __getitems__(self, indices: list[int]) -> Tensor | UserError:
        try:
            return torch.stack([self.dataset[index] for index in indices])
        except UserError as error:
            return error


def _leave_signals_to_the_run(worker: int) -> None:
    """Ctrl-C and schedulers signal all processes of a run; it needs its workers until it has finished the round."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _whole(fetched: Any) -> Any:
    return fetched  # `_Fetch` has stacked it


class Lists:
    """A loader's batches in lists, each of which ends where the batches so far are a multiple of ``size``.

    Args:
        loader: yields batches.
        size: batches in a list.
        done: returns how many batches were consumed before; called when iteration begins.

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
