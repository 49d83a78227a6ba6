"""A process of a validation that torchrun starts on several processes: ``modules_program.py FOLDER``.

Each is given its part of the images; all figures, as hexadecimal floats, go to ``FOLDER/rank<rank>.json``.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import DataLoader

from saddlepoint.metrics.base import small_pixels
from saddlepoint.metrics.modules import (
    DuplicateRate,
    EffectiveSupport,
    FrechetFeatureDistance,
    MixtureCoverage,
    PrecisionRecallDensityCoverage,
)

N = 300
MEANS = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])


class Judge(nn.Module):
    """All metrics in a module."""

    def __init__(self) -> None:
        from conftest import Grid  # beside this program

        super().__init__()
        self.fid = FrechetFeatureDistance(Grid())
        self.overlap = PrecisionRecallDensityCoverage(Grid())
        self.duplicates = DuplicateRate(64)
        self.support = EffectiveSupport(64)
        self.modes = MixtureCoverage(MEANS, std=0.5)

    def update(self, images: Tensor, real: bool) -> None:
        """Add images, and as points the means of their halves."""
        self.fid.update(images, real=real)
        self.overlap.update(images, real=real)
        self.duplicates.update(small_pixels(images), real=real)
        self.support.update(small_pixels(images), real=real)
        self.modes.update(images.float().view(-1, 2, 32).mean(2) / 20)

    def figures(self) -> dict[str, Tensor]:
        """Return all figures."""
        own = {"fid": self.fid.compute(), "duplicates": self.duplicates.compute()}
        return own | self.overlap.compute() | self.support.compute() | self.modes.compute()


class Model(pl.LightningModule):
    """A LightningModule with all metrics."""

    def __init__(self) -> None:
        super().__init__()
        self.judge = Judge()

    def validation_step(self, batch: tuple[Tensor, bool], batch_idx: int) -> None:
        """Add a batch, and log the metrics that have a single figure."""
        self.judge.update(*batch)
        self.log("logged_fid", self.judge.fid)
        self.log("logged_duplicates", self.judge.duplicates)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics that have several figures."""
        self.log_dict(self.judge.figures())


def batches() -> list[tuple[Tensor, bool]]:
    """Return batches of real digits, and of slightly darker held-out digits with a few copies as fakes."""
    from conftest import make_digits

    splits = make_digits().splits
    fakes = (splits["held_out"][0].float() * 0.9).to(torch.uint8)[:N]
    fakes[-20:] = fakes[:20]
    return [*((part, True) for part in splits["train"][0].split(100)), *((part, False) for part in fakes.split(50))]


def validate(parts: Sequence[tuple[Tensor, bool]], devices: int = 1) -> dict[str, str]:
    """Return all figures that Lightning logs."""
    trainer = pl.Trainer(
        accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto", logger=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    model = Model()
    trainer.validate(model, DataLoader(parts, batch_size=None), verbose=False)
    assert not model.judge.fid.update_called  # Lightning has reset the logged metrics
    assert model.state_dict() == {}
    return {name: float(value).hex() for name, value in trainer.callback_metrics.items()}


def one_sided(rank: int) -> dict[str, str]:
    """Return all figures if one process has all samples and the other has none."""
    judge = Judge()
    for images, real in batches() if rank == 1 else ():
        judge.update(images, real)
    return {name: float(value).hex() for name, value in judge.figures().items()}


if __name__ == "__main__":
    rank = int(os.environ["RANK"])
    parts = batches()
    # consecutive batches of each kind; the numbers of batches per process differ by at most one
    kinds = ([part for part in parts if part[1] is real] for real in (True, False))
    own = [part for kind in kinds for part in (kind[: len(kind) // 2] if rank == 0 else kind[len(kind) // 2 :])]
    figures = {"validated": validate(own, devices=2), "one_sided": one_sided(rank)}
    (Path(sys.argv[1]) / f"rank{rank}.json").write_text(json.dumps(figures))
    dist.destroy_process_group()
