"""The Python API: functions equivalent to the commands, with the same configs; they may be called repeatedly."""

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
from saddlepoint.config.compose import composed
from saddlepoint.config.overrides import from_settings
from saddlepoint.config.references import check_references
from saddlepoint.config.schema import EvaluateConfig, TrainConfig
from saddlepoint.config.strict import check_schema
from saddlepoint.errors import RunError, UserError
from saddlepoint.evaluation.choice import subject_of
from saddlepoint.evaluation.drawing import truncations
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.metrics.quantise import quantise
from saddlepoint.systems.game import Game
from saddlepoint.training import Launch, Run
from saddlepoint.training import train as train_run

__all__ = ["Run", "RunError", "ScoreCard", "UserError", "evaluate", "load", "train"]


def load(path: str | Path, device: str = "auto", plugins: Sequence[str] = ()) -> Game:
    """Load the system stored in a checkpoint, with its weights, in evaluation mode.

    Its methods depend on the model: ``sample``, ``encode`` and ``decode``, ``translate``, ``log_likelihood`` (see
    :mod:`saddlepoint.systems.capabilities`).

    Args:
        path: a ``.ckpt`` file; the folder of a run, whose best checkpoint is loaded if there is one, else its last; or
            an artifact in W&B, ``wandb:ENTITY/PROJECT/NAME:ALIAS``.
        device: device of the system; ``auto`` selects a GPU if there is one.
        plugins: trusted packages whose classes the checkpoint's config may name.

    Raises:
        UserError: if the checkpoint cannot be used.
    """
    return restore(find(str(path)), device, plugins).system


def train(*overrides: str, config_dir: str | Path | None = None, **settings: Any) -> Run:
    """Train a model, as ``python train.py`` does.

    Args:
        overrides: overrides as on the command line, such as ``"network.width=16"``.
        config_dir: a folder of additional configs, like ``--config-dir``.
        settings: overrides as Python values, such as ``model="dcgan"``, ``seed=1`` or ``budget={"images": 1000}``.

    Returns:
        The finished run: its ``directory``; its ``system`` after the last update; and its ``record``, whose ``first``,
        ``latest`` and ``best`` hold score cards, such as ``record.latest["fid_classifier"].value``.
        ``load(run.directory)`` returns the system of the best checkpoint.

    Raises:
        UserError: if the settings or the data are invalid; nothing has been written.
        RunError: if the run fails after it has started.
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
        samples: the images to score: a uint8 array [N, H, W] or [N, H, W, C]; a uint8 tensor [N, H, W] or [N, C, H, W];
            a float tensor [N, C, H, W] in [-1, 1], which is rounded to 8 bits; or the path of a folder, a zip file or
            an ``.npz`` file. None with ``checkpoint=``.
        reference: real images in any of these formats; None with ``data=``.
        overrides: overrides as on the command line.
        config_dir: a folder of additional configs, like ``--config-dir``.
        settings: overrides as Python values, such as ``data="mnist"``, ``features="random"``, ``n=1000`` or
            ``metrics=["fid"]``.

    Returns:
        The score cards, keyed by the name of the score.

    Raises:
        UserError: if the images or the settings are invalid, or the samples do not match the reference.
    """
    with tempfile.TemporaryDirectory(prefix="saddlepoint-") as folder:
        for name, images in (("samples", samples), ("reference", reference)):
            if images is not None:
                settings[name] = str(_path(images, Path(folder) / f"{name}.npz"))
        line = [*overrides, *from_settings(settings)]
        config, choices = composed("evaluate", line, None if config_dir is None else str(config_dir))
        check_schema(config, EvaluateConfig)
        if len(chosen := truncations(config.truncation)) > 1:
            raise UserError("score cards are returned by name, for one truncation", "truncation", "give a number")
        cards = subject_of(config, choices.get("features") == "none").score(config.seed, chosen[0])
    return {card.metric: card for card in cards}


def _path(images: Any, place: Path) -> Path:
    """Return the path of images; arrays and tensors are first saved to ``place``."""
    if isinstance(images, str | os.PathLike):
        return Path(images)
    if isinstance(images, Tensor):
        pixels = images if images.dtype == torch.uint8 else quantise(images)
        images = (pixels.permute(0, 2, 3, 1) if pixels.dim() == 4 else pixels).cpu().numpy()
    np.savez(place, images=np.asarray(images))
    return place
