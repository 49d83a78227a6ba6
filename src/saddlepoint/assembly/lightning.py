"""Lightning: the trainer, the strategy for several ranks, the checkpoint files and the log messages."""

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
"""Rounds per step of Lightning's loop. A round on points takes 1 to 2 ms, about as long as Lightning's own overhead."""

SMALLEST_SIDE_FOR_BF16 = 16
"""In pixels. On a CPU, the casts to bf16 take more time than they save for smaller images."""


class GameStrategy(DDPStrategy):
    """Distributed training without wrapping the networks; gradients are averaged by one flattened all-reduce per step.

    Lightning's ``ddp`` fails for GANs, because each turn leaves some of the weights without gradients, and
    ``ddp_find_unused_parameters_true`` traverses the graph in every step. Averaging only the gradients of the player
    whose turn it is also gives identical weights on all ranks, at a lower cost.
    """

    def configure_ddp(self) -> None:
        """Broadcast the weights and buffers of rank 0; the module is not wrapped."""
        assert self.lightning_module is not None
        for tensor in (*self.lightning_module.parameters(), *self.lightning_module.buffers()):
            dist.broadcast(tensor.data, src=0)
        self.model = self.lightning_module

    def barrier(self, name: str | None = None) -> None:
        """Synchronize all ranks, except for saving, since only rank 0 knows when a score has improved."""
        if name != "Trainer.save_checkpoint":
            super().barrier(name)

    def teardown(self) -> None:
        """Destroy the process group."""
        super().teardown()
        if dist.is_initialized():
            dist.destroy_process_group()


class AtomicCheckpointIO(CheckpointIO):
    """Writes checkpoints to a temporary file in the same directory, syncs and renames it, and writes a sha256 file.

    Lightning's own implementation stages files in ``$TMPDIR`` and moves them without a sync, possibly across file
    systems, so that a kill or a full disk can destroy the previous checkpoint.
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
    """Return the number of rounds per step of Lightning's loop; several short rounds form a step to reduce overhead."""
    wanted: int | None = config.trainer.rounds_per_step
    return wanted or (1 if info.is_image else ROUNDS_OF_POINTS)


def build_trainer(config: DictConfig, info: DataInfo) -> pl.Trainer:
    """Build Lightning's trainer, without its own checkpoints, loggers and progress bar.

    Args:
        config: the run's config.
        info: the description of the data.

    Raises:
        UserError: if the devices are not available, or other processes have been started than one for each of them.
    """
    trainer = config.trainer
    several = trainer.devices * trainer.num_nodes > 1
    if several and not processes.launched():
        key = "trainer.num_nodes" if trainer.num_nodes > 1 else "trainer.devices"
        problem = "each device needs a process of its own, and none has been started"
        raise UserError(problem, key, "start the program with torchrun or SLURM")
    started = processes.started()
    if started is not None and started != (trainer.devices, trainer.num_nodes):
        each, machines = started
        problem = f"torchrun or SLURM has started {each} process(es) on each of {machines} machine(s)"
        raise UserError(problem, "trainer", f"set trainer.devices={each} trainer.num_nodes={machines}")
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
    except (MisconfigurationException, RuntimeError) as error:  # RuntimeError for invalid SLURM settings
        raise UserError(str(error).splitlines()[0], "trainer") from None


def precision(wanted: str, accelerator: str, info: DataInfo) -> Any:
    """Resolve ``auto``: bf16 for images if the hardware supports it and, on a CPU, if the images are large enough.

    Raises:
        UserError: ``16-mixed`` is wanted without CUDA; Lightning would train in bf16 instead.
    """
    cuda = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    if wanted == "16-mixed" and not cuda:
        remedy = "choose auto, bf16-mixed or 32-true"
        raise UserError("16-mixed needs a CUDA GPU", "trainer.precision", remedy)
    if wanted != "auto":
        return wanted
    if cuda:
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16-mixed" if fast and info.is_image else "32-true"
    if accelerator in ("auto", "mps") and torch.backends.mps.is_available():
        return "32-true"
    fast = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bf16-mixed" if fast and info.is_image and min(info.shape[1:]) >= SMALLEST_SIDE_FOR_BF16 else "32-true"


ADVICE = (
    processes.SRUN_ADVICE,
    # trainer=cpu on a machine with a GPU is a choice.
    r"GPU available but not used\. You can set it by doing `Trainer\(accelerator='gpu'\)`\.$",
    # Averaged networks and encoders of images stay in eval mode.
    r"Found \d+ module\(s\) in eval mode at the start of training\.",
    # Batches are trees, which the system transfers.
    "You have overridden `transfer_batch_to_device` in `LightningModule` but have passed in a `LightningDataModule`",
    # A deprecation inside Lightning 2.6, since PyTorch 2.10.
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
)
"""Beginnings of warnings of Lightning that a user can do nothing about, as regular expressions."""


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress Lightning's messages, and its warnings about what is intended here; see :data:`ADVICE`."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for message in ADVICE:
            warnings.filterwarnings("ignore", message)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
