"""The data module: inspects a source, brings its images to the size that networks see, and hands out batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Annotated, Literal, NamedTuple, cast

import platformdirs
import pytorch_lightning as pl
import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor

from saddlepoint.data.decoding import cached_decode, decode_split
from saddlepoint.data.fit import Fit, Policy
from saddlepoint.data.images import Channels, Pixels
from saddlepoint.data.inspection import choose_fit
from saddlepoint.data.loader import Lists, LoaderOptions, MemoryLoader, WorkerLoader, check_batch
from saddlepoint.data.schedule import Schedule
from saddlepoint.data.sources.base import ArraySplit, Contents, FileSplit, Source, digest
from saddlepoint.data.store import given_path
from saddlepoint.errors import UserError
from saddlepoint.types import DataInfo, Split

Size = Annotated[list[PositiveInt], Field(min_length=2, max_length=2)]

# Part of every fingerprint: raise it when decoding or fitting changes a single pixel, so that no cache outlives that.
PIXELS_VERSION = 1


class Arrays(NamedTuple):
    """A whole split in memory.

    Attributes:
        samples: images, uint8 [N, C, H, W] (channels_last), or points, float32 [N, D], on the CPU.
        labels: long [N], or None; of a mixture of Gaussians, the modes.
    """

    samples: Tensor
    labels: Tensor | None


class DecodedFiles:
    """A split's files by index, decoded on access: what worker processes read."""

    def __init__(self, split: FileSplit, fit: Fit):
        self.split = split
        self.fit = fit

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> Tensor:
        """Return an image, uint8 [H, W, C]."""
        name = self.split.names[index]
        pixels = self.fit.file(self.split.store.read(name), f"{self.split.store.path}: {name}")
        return torch.from_numpy(pixels.copy())  # Pillow's own memory is read-only


class DataModule(pl.LightningDataModule):
    """One data set for training and evaluation.

    Args:
        source: where samples come from.
        image_size: pixels, a number or [height, width]; None takes the files' common size.
        fit: what happens to images of another size, see :class:`~saddlepoint.data.fit.Fit`.
        channels: 1, 3 or 4; None takes 1 if every file is gray, else 3 (alpha is composited on white).
        flip: mirror half of the training images at random.
        loader: ``memory`` keeps the decoded train split on the training device, ``workers`` decodes it again and again
            in processes, ``auto`` is memory where it fits ``memory_limit_gb``.
        num_workers: processes of ``workers``; 0 decodes in the training process.
        memory_limit_gb: bound for ``auto``, in 10⁹ bytes.
        cache_dir: where decoded images are kept; None is the user's cache folder.
    """

    def __init__(
        self,
        source: Source,
        image_size: PositiveInt | Size | None = None,
        fit: Policy = "pad",
        channels: Channels | None = None,
        flip: bool = False,
        loader: Literal["auto", "memory", "workers"] = "auto",
        num_workers: NonNegativeInt = 2,
        memory_limit_gb: NonNegativeFloat = 2.0,
        cache_dir: str | None = None,
    ):
        super().__init__()
        self.source = source
        self.image_size = image_size
        self.policy = fit
        self.channels = channels
        self.flip = flip
        self.loader = loader
        self.num_workers = num_workers
        self.memory_limit_gb = memory_limit_gb
        self.cache_dir = given_path(cache_dir or platformdirs.user_cache_dir("saddlepoint")) / "decoded"
        self._contents: Contents | None = None
        self._fit: Fit | None = None
        self._info: DataInfo | None = None
        self._values: dict[Split, Tensor] = {}
        self._options: LoaderOptions | None = None

    @property
    def info(self) -> DataInfo:
        """What :meth:`inspect` returns."""
        return self.inspect()

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The labels' names in order, or None."""
        return self.info.class_names

    def inspect(self) -> DataInfo:
        """Look at the files, headers only where anything must be looked at, and say what networks will see.

        The fingerprint hashes the content and the options that change pixels; ``flip``, a draw in training, is none.

        Raises:
            UserError: the data is missing, empty or broken, or its images have no common size and none was asked for.
        """
        if self._info is not None:
            return self._info
        contents = self._contents = self.source.open()
        train = contents.splits["train"]
        shape: tuple[int, ...]
        if isinstance(train, ArraySplit) and train.values.ndim == 2:
            shape, options = (train.values.shape[1],), ""
        else:
            self._fit = choose_fit(contents, self.source.name, self._asked_size(), self.channels, self.policy)
            height, width, channels = self._fit.shape
            shape, options = (channels, height, width), self.policy
        self._info = DataInfo(
            name=self.source.name,
            shape=shape,
            class_names=contents.class_names,
            sizes={split: len(samples) for split, samples in contents.splits.items()},
            fingerprint=digest([str(PIXELS_VERSION), contents.digest, str(shape), options]),
        )
        return self._info

    def _asked_size(self) -> tuple[int, int] | None:
        if self.image_size is None:
            return None
        height, width = [self.image_size] * 2 if isinstance(self.image_size, int) else self.image_size
        return height, width

    # Training

    def configure(
        self,
        batch_size: int,
        seed: int,
        stop: int | None = None,
        start: Callable[[], int] = lambda: 0,
        rounds_per_step: int = 1,
        rounds: Callable[[], int] = lambda: 0,
    ) -> None:
        """Say how training reads the data.

        Args:
            batch_size: images a rank and batch.
            seed: of the order and the flips.
            stop: the budget in images over all ranks, met exactly; None for no end.
            start: returns the images consumed so far over all ranks. It is called when iteration begins, so a system's
                own counter, restored from its checkpoint, is the only position there is.
            rounds_per_step: above 1, batches come in lists of so many, for the training step to play one by one.
            rounds: returns the batches consumed so far: lists end at multiples of ``rounds_per_step``, in a resumed run
                too.

        Raises:
            UserError: the batch is larger than the train split.
        """
        self._options = LoaderOptions(batch_size=batch_size, seed=seed, stop=stop, start=start)
        self._options["flip"] = self.flip and self.info.is_image
        self._rounds_per_step, self._rounds = rounds_per_step, rounds
        check_batch(batch_size, 1, self.info.sizes["train"])

    def prepare_data(self) -> None:
        """Decode the train split on one process first, so that the others read the cache."""
        self.setup("fit")

    def setup(self, stage: str) -> None:
        """Decode the train split if it is to lie in memory: a broken file is found before training.

        Raises:
            UserError: a file is corrupt or does not fit.
        """
        if stage == "fit" and self._train_in_memory():
            self._samples("train")

    def train_dataloader(self) -> MemoryLoader | WorkerLoader | Lists:
        """Return an iterable of batches, for the trainer's rank and device; without a trainer, for one CPU process.

        Raises:
            UserError: a global batch is larger than the train split.
        """
        if self._options is None:
            raise RuntimeError("call configure(batch_size, seed) before train_dataloader()")
        options = LoaderOptions(**self._options)
        if self.trainer is not None:
            options["rank"], options["world_size"] = self.trainer.global_rank, self.trainer.world_size
            options["device"] = self.trainer.strategy.root_device
        loader = self._loader(options)
        return Lists(loader, self._rounds_per_step, self._rounds) if self._rounds_per_step > 1 else loader

    def _loader(self, options: LoaderOptions) -> MemoryLoader | WorkerLoader:
        labels = self.labels("train")
        if self._train_in_memory():
            return MemoryLoader(self._samples("train"), labels, **options)
        split, fit = self._split("train"), self._fit
        dataset = DecodedFiles(split, fit) if isinstance(split, FileSplit) and fit else self._samples("train")
        return WorkerLoader(dataset, labels, num_workers=self.num_workers, **options)

    def images_at(self, position: int) -> int:
        """Return how many images, over all ranks, the training batch at ``position`` has."""
        if self._options is None:
            raise RuntimeError("call configure(batch_size, seed) before images_at()")
        ranks = self.trainer.world_size if self.trainer is not None else 1
        return Schedule(self._options["batch_size"], self._options.get("stop"), 0, ranks).size(position)

    def _train_in_memory(self) -> bool:
        if self.loader == "auto" or not self.info.is_image:
            return self._gigabytes("train") <= self.memory_limit_gb or not self.info.is_image
        return self.loader == "memory"

    # Whole splits

    def uint8_batches(self, split: Split, batch_size: int = 500) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield a split once, in its fixed order, unflipped.

        Args:
            split: "train" or "held_out".
            batch_size: images a batch; the last may be smaller.

        Yields:
            Images, uint8 [N, C, H, W] on the CPU, and labels, long [N] or None.

        Raises:
            UserError: the data set is one of points, or a file is corrupt.
        """
        if not self.info.is_image:
            raise UserError(f"{self.info.name}: points, not images; choose metrics of points, or another data set")
        files, fit = self._split(split), self._fit
        by_batch = isinstance(files, FileSplit) and self._gigabytes(split) > self.memory_limit_gb
        labels = self.labels(split)
        for start in range(0, len(files), batch_size):
            here = slice(start, start + batch_size)
            if by_batch and isinstance(files, FileSplit) and fit:
                samples = torch.from_numpy(decode_split(FileSplit(files.store, files.names[here]), fit))
            else:
                samples = self._samples(split)[here]
            yield samples.permute(0, 3, 1, 2), None if labels is None else labels[here]

    def arrays(self, split: Split) -> Arrays:
        """Return a whole split in its fixed order.

        Raises:
            UserError: it does not fit ``memory_limit_gb``, or a file is corrupt.
        """
        if self._gigabytes(split) > self.memory_limit_gb:
            raise UserError(
                f"{self.info.name}: the {split} split needs {self._gigabytes(split):.1f} GB decoded; "
                f"raise data.memory_limit_gb ({self.memory_limit_gb:g})"
            )
        samples = self._samples(split)
        return Arrays(samples.permute(0, 3, 1, 2) if self.info.is_image else samples, self._labels(split))

    def labels(self, split: Split) -> Tensor | None:
        """Return a split's labels in its fixed order, long [N]; None without classes."""
        return self._labels(split) if self.class_names else None

    def label_counts(self) -> Tensor:
        """Count the train split's labels, long [K]; empty without classes."""
        labels = self.labels("train")
        return torch.bincount(torch.empty(0).long() if labels is None else labels, minlength=self.info.num_classes)

    def _split(self, split: Split) -> ArraySplit | FileSplit:
        self.inspect()
        assert self._contents is not None  # inspect() filled it
        return self._contents.splits[split]

    def _labels(self, split: Split) -> Tensor | None:
        labels = self._split(split).labels
        return None if labels is None else torch.from_numpy(labels)

    def _gigabytes(self, split: Split) -> float:
        element = 1 if self.info.is_image else 4
        return math.prod((len(self._split(split)), *self.info.shape)) * element / 1e9

    def _samples(self, split: Split) -> Tensor:
        """Return a split in memory: uint8 [N, H, W, C] or float32 [N, D]."""
        if split not in self._values:
            content, fit = self._split(split), self._fit
            if isinstance(content, ArraySplit):
                values = content.values if fit is None else fit.arrays(cast(Pixels, content.values), self.info.name)
            else:
                assert fit is not None  # files are images
                file = self.cache_dir / f"{self.info.fingerprint}-{split}.npy"
                values = cached_decode(content, fit, file)
            self._values[split] = torch.from_numpy(values if values.flags.writeable else values.copy())
        return self._values[split]
