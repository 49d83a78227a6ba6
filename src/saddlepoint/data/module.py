"""The data module: inspects a source, fits its images to the networks' input size, and returns batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, NamedTuple

import platformdirs
import pytorch_lightning as pl
import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor

from saddlepoint.data import summary
from saddlepoint.data.columns import Columns
from saddlepoint.data.fit import Policy
from saddlepoint.data.images import Channels
from saddlepoint.data.inspection import choose_fits, common_size, describe
from saddlepoint.data.loader import Lists, LoaderOptions, MemoryLoader, WorkerLoader, check_batch
from saddlepoint.data.schedule import Schedule
from saddlepoint.data.sources.base import Source
from saddlepoint.data.store import given_path
from saddlepoint.data.transforms import normalise
from saddlepoint.errors import UserError
from saddlepoint.types import Batch, DataInfo, Split

Share = Annotated[float, Field(gt=0, le=1)]
Size = Annotated[list[PositiveInt], Field(min_length=2, max_length=2)]


class Arrays(NamedTuple):
    """A whole split in memory.

    Attributes:
        samples: images, uint8 [N, C, H, W] (channels_last), or points, float32 [N, D], on the CPU.
        labels: long [N], or None; for a mixture of Gaussians, the modes.
    """

    samples: Tensor
    labels: Tensor | None


class DataModule(pl.LightningDataModule):
    """A data set for training and evaluation.

    Args:
        source: the source of the samples.
        image_size: in pixels, a number or [height, width]; None for the common size of all images.
        fit: how images of another size are fitted, see :class:`~saddlepoint.data.fit.Fit`.
        channels: 1, 3 or 4; None for 1 if all images of a column are gray, else 3 (alpha is composited on white).
        flip: mirror half of the training images at random.
        jitter: in pixels; in training, images are fitted to a size that is larger by this, and cropped at random. In
            evaluation they are fitted to ``image_size`` directly.
        fraction: share of the training rows that is used, in (0, 1]; see
            :meth:`~saddlepoint.data.sources.base.Contents.part`. Features that are trained on the data see these only.
        loader: ``memory`` keeps the decoded train split on the training device; ``workers`` decodes it in worker
            processes in every epoch; ``auto`` is ``memory`` if the split fits in ``memory_limit_gb``.
        num_workers: number of processes for ``workers``; 0 decodes in the training process.
        memory_limit_gb: limit on decoded data in memory, in 10⁹ bytes.
        cache_dir: directory in which decoded images are cached; None for the user's cache directory.
    """

    def __init__(
        self,
        source: Source,
        image_size: PositiveInt | Size | None = None,
        fit: Policy = "pad",
        channels: Channels | None = None,
        flip: bool = False,
        jitter: NonNegativeInt = 0,
        fraction: Share = 1.0,
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
        self.jitter = jitter
        self.fraction = fraction
        self.loader = loader
        self.num_workers = num_workers
        self.memory_limit_gb = memory_limit_gb
        self.cache_dir = given_path(cache_dir or platformdirs.user_cache_dir("saddlepoint")) / "decoded"
        self._opened: Columns | None = None
        self._options: LoaderOptions | None = None

    @property
    def info(self) -> DataInfo:
        """The result of :meth:`inspect`."""
        return self._columns.info

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the labels 0 … K - 1, or None."""
        return self.info.class_names

    @property
    def _columns(self) -> Columns:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def inspect(self) -> DataInfo:
        """Return the description of the data set; the images' headers are read if necessary.

        The fingerprint is a hash of the content and of the options that change pixels. ``flip`` and ``jitter`` are not
        included, since they only affect random draws in training.

        Raises:
            UserError: the data is missing, empty or corrupt, or its images have different sizes and ``image_size`` is
                None. Its key is an argument of this class, or ``source.`` and an argument of the source.
        """
        return self.info

    def summary(self) -> str:
        """Return one line about what was read: numbers of samples, size, classes, splits, files that are left out."""
        return summary.summary(self._columns.contents, self.info)

    def notices(self) -> list[str]:
        """Return sentences about held-out copies of training files, and about files with several pages or frames."""
        return summary.notices(self._columns.contents, self.info)

    def native_size(self) -> tuple[int, int] | None:
        """Return the size (H, W) of all sampled images before they are fitted; None if they have different sizes."""
        return common_size(self._columns.contents, self.info.batch.sampled, self.source.name)

    def _open(self) -> Columns:
        try:
            contents = self.source.open()
        except UserError as error:
            raise error.at(f"source.{error.key}") if error.key else error from None
        if self.fraction < 1:
            contents = contents.part(self.fraction)
        fits = choose_fits(contents, self.source.name, self._asked_size(), self.channels, self.policy)
        info = describe(contents, fits, self.source.name, self.policy)
        return Columns(contents, fits, info, self.cache_dir)

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
        """Set how training reads the data.

        Args:
            batch_size: number of images per rank and batch, from each table.
            seed: of orders, crops and flips.
            stop: the budget in images over all ranks, which is met exactly; None for no limit.
            start: returns the number of images consumed so far by all ranks. It is called when iteration begins, so the
                position is stored only once: in the system's counter, which is restored from checkpoints.
            rounds_per_step: number of batches per training step; if above 1, batches are yielded in lists of this
                length.
            rounds: returns the number of batches consumed so far. Lists end at multiples of ``rounds_per_step``, also
                in a resumed run.

        Raises:
            UserError: the batch is larger than a table of the train split.
        """
        self._options = LoaderOptions(batch_size=batch_size, seed=seed, stop=stop, start=start)
        self._options["flip"], self._options["jitter"] = self.flip and self.info.is_image, self.jitter
        self._rounds_per_step, self._rounds = rounds_per_step, rounds
        check_batch(batch_size, 1, min(map(len, self._columns.contents.splits["train"])))

    def prepare_data(self) -> None:
        """Decode the train split on one process first, so that the others read the cache."""
        self.setup("fit")

    def setup(self, stage: str) -> None:
        """Decode the train split if it is kept in memory, so that corrupt files are found before training.

        Raises:
            UserError: a file is corrupt, or its image does not fit.
        """
        if stage == "fit" and self._train_in_memory():
            self._columns.tables("train", self.jitter, in_memory=True)

    def train_dataloader(self) -> MemoryLoader | WorkerLoader | Lists:
        """Return an iterable of batches for the trainer's rank and device, or without a trainer for one CPU process.

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
        in_memory = self._train_in_memory()
        tables = self._columns.tables("train", self.jitter, in_memory)
        if in_memory:
            return MemoryLoader(*tables, **options)
        return WorkerLoader(*tables, num_workers=self.num_workers, **options)

    def images_at(self, position: int) -> int:
        """Return the number of images, over all ranks, of the training batch at ``position``."""
        if self._options is None:
            raise RuntimeError("call configure(batch_size, seed) before images_at()")
        ranks = self.trainer.world_size if self.trainer is not None else 1
        return Schedule(self._options["batch_size"], self._options.get("stop"), 0, ranks).size(position)

    def _train_in_memory(self) -> bool:
        if self.loader == "auto" and self.info.is_image:
            return self._columns.gigabytes("train", margin=self.jitter) <= self.memory_limit_gb
        return self.loader == "memory" or not self.info.is_image

    # Rows in their fixed order for evaluation and pictures, neither flipped nor jittered

    def batch(self, split: Split, start: int, count: int) -> Batch:
        """Return rows ``start … start + count - 1`` of all columns on the CPU, or fewer at the end of a column.

        Images are float [n, C, H, W] in [-1, 1]. Labels are those of the samples, or None without classes.

        Raises:
            UserError: a file is corrupt.
        """
        end = min(start + count, *map(len, self._columns.contents.splits[split]))
        names, labels = self._columns.contents.columns(split), self.labels(split)
        kind: Any = self.info.batch
        batch: Batch = kind(
            **{name: self.column(split, name, start, end - start) for name in names},
            labels=None if labels is None else labels[start:end],
        )
        return batch

    def column(self, split: Split, column: str, start: int, count: int) -> Tensor:
        """Return rows ``start … start + count - 1`` of one column as network inputs, or fewer at its end.

        Raises:
            UserError: a file is corrupt.
        """
        values = self._rows(split, column, slice(start, start + count))
        return normalise(values) if values.dim() == 4 else values

    def size(self, split: Split, column: str) -> int:
        """Return the number of rows of a column; unpaired columns may differ."""
        return len(self._columns.table(split, column))

    def uint8_batches(
        self, split: Split, batch_size: int = 500, column: str | None = None
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield all images of a column in their fixed order.

        Args:
            split: "train" or "held_out".
            batch_size: number of images per batch; the last batch may be smaller.
            column: name of the column; by default that of the samples, which ``info.shape`` describes.

        Yields:
            Images, uint8 [N, C, H, W] on the CPU, and labels, long [N] or None.

        Raises:
            UserError: the data set contains points, or a file is corrupt.
        """
        if not self.info.is_image:
            problem = f"{self.info.name} is a data set of points, not of images"
            raise UserError(problem, None, "choose metrics for points, or another data set")
        column = column or self.info.batch.sampled
        labels = self.labels(split, column)
        for start in range(0, self.size(split, column), batch_size):
            rows = slice(start, start + batch_size)
            images = self._rows(split, column, rows).permute(0, 3, 1, 2)
            yield images, None if labels is None else labels[rows]

    def arrays(self, split: Split) -> Arrays:
        """Return all samples of a split.

        Raises:
            UserError: the samples need more than ``memory_limit_gb``, or a file is corrupt.
        """
        sampled = self.info.batch.sampled
        needed = self._columns.gigabytes(split, sampled)
        if needed > self.memory_limit_gb:
            problem = f"{self.memory_limit_gb:g} is less than the {needed:.1f} GB of {self.info.name}'s {split} split"
            raise UserError(problem, "memory_limit_gb", "raise it")
        samples = self._columns.whole(split, sampled)
        labels = self._columns.labels(split, sampled)
        return Arrays(samples.permute(0, 3, 1, 2) if self.info.is_image else samples, labels)

    def labels(self, split: Split, column: str | None = None) -> Tensor | None:
        """Return the labels of a column's rows, by default of the samples, long [N]; None without classes."""
        return self._columns.labels(split, column or self.info.batch.sampled) if self.class_names else None

    def label_counts(self) -> Tensor:
        """Return the number of training samples of each class, long [K]; empty without classes."""
        labels = self.labels("train")
        return torch.bincount(torch.empty(0).long() if labels is None else labels, minlength=self.info.num_classes)

    def _rows(self, split: Split, column: str, rows: slice) -> Tensor:
        return self._columns.rows(split, column, rows, self.memory_limit_gb)
