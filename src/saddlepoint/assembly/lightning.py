"""What adapts Lightning to games: the trainer, the strategy for several ranks, the checkpoint files, the notices."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig
from pytorch_lightning.plugins.io import CheckpointIO
from pytorch_lightning.strategies import DDPStrategy

from saddlepoint import processes
from saddlepoint.errors import UserError
from saddlepoint.tracking import checkpoints
from saddlepoint.types import DataInfo

ROUNDS_OF_POINTS = 25
"""A round on points takes a millisecond or two, about what Lightning's loop costs around it."""

SMALLEST_SIDE_FOR_BF16 = 16
"""On a CPU, below this many pixels the casts cost more than they save."""


class GameStrategy(DDPStrategy):
    """Several processes without a wrapper round the networks, for one flattened all-reduce a step.

    Lightning's ``ddp`` fails for GANs, whose turns leave half of the weights without gradients, and its variant that
    looks for unused parameters walks the graph in every step. Averaging the gradients of the players whose turn it is
    gives the same bits on all ranks at a lower cost.
    """

    def configure_ddp(self) -> None:
        """Give all ranks rank 0's weights and buffers; nothing is wrapped."""
        assert self.lightning_module is not None
        for tensor in (*self.lightning_module.parameters(), *self.lightning_module.buffers()):
            dist.broadcast(tensor.data, src=0)
        self.model = self.lightning_module

    def barrier(self, name: str | None = None) -> None:
        """Wait for all ranks; but not to save, for rank 0 alone knows when a score has improved."""
        if name != "Trainer.save_checkpoint":
            super().barrier(name)

    def teardown(self) -> None:
        """End the process group."""
        super().teardown()
        if dist.is_initialized():
            dist.destroy_process_group()


class AtomicCheckpointIO(CheckpointIO):
    """Writes a temporary file in the same directory, syncs it, renames it, and puts its sha256 beside it.

    Lightning's own staging in ``$TMPDIR`` moves across file systems without a sync: a kill or a full disk there
    destroyed the previous checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write ``checkpoint`` to ``path``."""
        checkpoints.save(checkpoint, Path(path))

    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint; see :func:`saddlepoint.tracking.checkpoints.load`."""
        return checkpoints.load(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint and its sha256."""
        checkpoints.remove(Path(path))


def rounds_per_step(config: DictConfig, info: DataInfo) -> int:
    """Return how many rounds Lightning's loop hands over at a time; where they are short, its own cost is spread."""
    wanted: int | None = config.trainer.rounds_per_step
    return wanted or (1 if info.is_image else ROUNDS_OF_POINTS)


def build_trainer(config: DictConfig, info: DataInfo) -> pl.Trainer:
    """Build Lightning's trainer for a game: manual optimization, our own counters, checkpoints and bar.

    Args:
        config: the run's.
        info: the data set's.

    Raises:
        UserError: the devices are not there, or nothing has started the processes that they need.
    """
    trainer = config.trainer
    several = trainer.devices * trainer.num_nodes > 1
    if several and not processes.launched():
        key = "trainer.num_nodes" if trainer.num_nodes > 1 else "trainer.devices"
        raise UserError(
            "nothing has started one process for each device", key, "start this program by torchrun or SLURM"
        )
    try:
        return pl.Trainer(
            accelerator=trainer.accelerator,
            devices=trainer.devices,
            num_nodes=trainer.num_nodes,
            strategy=GameStrategy() if several else "auto",
            precision=precision(trainer.precision, trainer.accelerator, info),
            deterministic=trainer.deterministic,
            max_epochs=-1,
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            logger=False,
            plugins=[AtomicCheckpointIO()],
        )
    except (MisconfigurationException, RuntimeError) as error:  # the latter for what SLURM was told
        raise UserError(f"trainer: {str(error).splitlines()[0]}") from None


def precision(wanted: str, accelerator: str, info: DataInfo) -> Any:
    """Resolve ``auto``: bf16 where the hardware computes in it and the work is large enough to gain."""
    if wanted != "auto":
        return wanted
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16-mixed" if fast and info.is_image else "32-true"
    if accelerator in ("auto", "mps") and torch.backends.mps.is_available():
        return "32-true"
    fast = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bf16-mixed" if fast and info.is_image and min(info.shape[1:]) >= SMALLEST_SIDE_FOR_BF16 else "32-true"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's notices off the terminal: they are about its own loops, which games do not use."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for module in ("pytorch_lightning", "lightning_fabric"):
            warnings.filterwarnings("ignore", module=module)
        warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
