"""Saddlepoint from Python: what the commands do, with the same configs, and as often as wanted in one process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from saddlepoint.assembly.restore import find, restore
from saddlepoint.config.check import check_schema
from saddlepoint.config.compose import composed
from saddlepoint.config.overrides import from_settings
from saddlepoint.config.references import check_references
from saddlepoint.config.schema import EvaluateConfig, TrainConfig
from saddlepoint.errors import RunError, UserError
from saddlepoint.evaluation.choice import subject_of
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.metrics.quantise import quantise
from saddlepoint.systems.game import Game
from saddlepoint.training import Launch, Run
from saddlepoint.training import train as train_run

__all__ = ["Run", "RunError", "ScoreCard", "UserError", "evaluate", "load", "train"]


def load(path: str | Path, device: str = "auto", plugins: Sequence[str] = ()) -> Game:
    """Return the system that a checkpoint holds, with its weights and in evaluation mode.

    What it can do are its methods: ``sample``, ``encode`` and ``decode``, ``translate``, ``log_likelihood``
    (:mod:`saddlepoint.systems.capabilities`).

    Args:
        path: a ``.ckpt`` file, or a run's folder: its best checkpoint, else its last.
        device: where to put it; ``auto`` takes a GPU where there is one.
        plugins: packages whose classes the checkpoint's config may name.

    Raises:
        UserError: the file cannot be used.
    """
    return restore(find(str(path)), device, plugins).system


def train(*overrides: str, config_dir: str | Path | None = None, **settings: Any) -> Run:
    """Train a run, as ``python train.py`` does.

    Args:
        overrides: as on the command line, such as ``"network.width=16"``.
        config_dir: a folder of further configs, as ``--config-dir``.
        settings: the same as Python values, such as ``model="dcgan"``, ``seed=1`` or ``budget={"images": 1000}``.

    Returns:
        The run: its ``directory``; its ``system``, as it is after the last update; and its ``record``, in which
        ``first``, ``latest`` and ``best`` hold score cards, such as ``record.latest["fid_classifier"].value``.
        ``load(run.directory)`` returns the system of the best checkpoint.

    Raises:
        UserError: a mistake in the settings or the data; nothing has been written.
        RunError: the run failed later.
    """
    line = [*overrides, *from_settings(settings)]
    config, choices = composed("train", line, None if config_dir is None else str(config_dir))
    check_schema(config, TrainConfig)
    check_references(OmegaConf.to_container(config, resolve=False))
    return train_run(config, Launch(choices, line))


def evaluate(
    samples: Any = None, reference: Any = None, *overrides: str, config_dir: str | Path | None = None, **settings: Any
) -> dict[str, ScoreCard]:
    """Score images, or a checkpoint, as ``python evaluate.py`` does; nothing is written.

    Args:
        samples: images: uint8 [N, H, W], [N, H, W, C] or, of tensors, [N, C, H, W]; float tensors [N, C, H, W] in
            [-1, 1], which are rounded to 8 bits; or a path of a folder, a zip file or an ``.npz``. None with
            ``checkpoint=``.
        reference: real images in any of these forms; None with ``data=``.
        overrides: as on the command line.
        config_dir: a folder of further configs, as ``--config-dir``.
        settings: the same as Python values: ``data="mnist"``, ``features="random"``, ``n=1000``, ``metrics=["fid"]`` …

    Returns:
        The score cards by the names of their scores.

    Raises:
        UserError: the images cannot be used or do not fit each other, or a setting is wrong.
    """
    with tempfile.TemporaryDirectory(prefix="saddlepoint-") as folder:
        for name, images in (("samples", samples), ("reference", reference)):
            if images is not None:
                settings[name] = str(_path(images, Path(folder) / f"{name}.npz"))
        line = [*overrides, *from_settings(settings)]
        config, choices = composed("evaluate", line, None if config_dir is None else str(config_dir))
        check_schema(config, EvaluateConfig)
        cards = subject_of(config, choices.get("features") == "none").score(config.seed)
    return {card.metric: card for card in cards}


def _path(images: Any, place: Path) -> Path:
    """Return where images lie, having written them there if they lie nowhere yet."""
    if isinstance(images, str | os.PathLike):
        return Path(images)
    if isinstance(images, Tensor):
        pixels = images if images.dtype == torch.uint8 else quantise(images)
        images = (pixels.permute(0, 2, 3, 1) if pixels.dim() == 4 else pixels).cpu().numpy()
    np.savez(place, images=np.asarray(images))
    return place
