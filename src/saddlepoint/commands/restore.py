"""Systems from checkpoints: the file alone is enough, and it can only choose among registered parts."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from saddlepoint.commands import safety
from saddlepoint.commands.build import build_system
from saddlepoint.data.store import given_path, status
from saddlepoint.errors import UserError
from saddlepoint.systems.game import Game
from saddlepoint.tracking import checkpoints
from saddlepoint.types import DataInfo


@dataclass(frozen=True)
class Restored:
    """What a checkpoint holds.

    Attributes:
        path: the file.
        system: with its weights, in evaluation mode.
        about: config, choices, data, features and reference, as plain containers.
        info: the data set that it was trained on.
    """

    path: Path
    system: Game
    about: dict[str, Any]
    info: DataInfo


def find(path: str | None) -> Path:
    """Return the checkpoint file that ``path`` means: itself, or the best, the last or the one before, of a run.

    Raises:
        UserError: where there is none.
    """
    if not path:
        raise UserError("no checkpoint given; add checkpoint=PATH, a .ckpt file or a run's folder")
    given = given_path(path)
    if (found := status(given)) is None:
        raise UserError(f"no checkpoint at {given}")
    if not stat.S_ISDIR(found.st_mode):
        return given
    for folder in (given / "checkpoints", given):
        for name in ("best.ckpt", "last.ckpt", "previous.ckpt"):
            if status(folder / name) is not None:
                return folder / name
    raise UserError(
        f"no checkpoint in {given}; give a run's folder, which holds checkpoints/last.ckpt, or a .ckpt file"
    )


def restore(path: Path, device: str = "auto", plugins: Sequence[str] = ()) -> Restored:
    """Rebuild the system that a checkpoint holds.

    Args:
        path: the file.
        device: where to put it; ``auto`` takes a GPU where there is one.
        plugins: packages whose classes the checkpoint's config may name. The checkpoint's own word for it is not taken.

    Raises:
        UserError: for a file that cannot be used.
    """
    checkpoint = checkpoints.load(path)
    checkpoints.check_whole(checkpoint, path)
    about = checkpoint["saddlepoint"]
    try:
        safety.check_references(about["config"])
        config = OmegaConf.create(about["config"])
        info = data_info(about["data"])
        assert isinstance(config, DictConfig)
        config.plugins = list(plugins)
        system = build_system(config)
        system.load_state_dict(checkpoint["state_dict"])
        system.on_load_checkpoint(checkpoint)
    except UserError as error:
        raise UserError(f"checkpoint {path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError, RuntimeError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise UserError(f"checkpoint {path} does not fit this version: {type(error).__name__}: {first}") from None
    return Restored(path, system.eval().to(pick_device(device)), about, info)


def initialise(system: Game, path: Path, model: str) -> None:
    """Load the networks' weights, averages included, from a checkpoint of the same model; nothing else.

    Raises:
        UserError: for a checkpoint of another model or of other networks.
    """
    checkpoint = checkpoints.load(path)
    checkpoints.check_whole(checkpoint, path)
    theirs = checkpoint["saddlepoint"]["choices"].get("model")
    if theirs != model:
        raise UserError(f"init_from={path} is a checkpoint of model '{theirs}', this run is of model '{model}'")
    roles = tuple(f"{role}." for role in (*system.networks, "ema_generator"))
    weights = {key: value for key, value in checkpoint["state_dict"].items() if key.startswith(roles)}
    own = {key: value for key, value in system.state_dict().items() if key.startswith(roles)}
    for key in sorted(own.keys() | weights.keys()):
        mine, its = own.get(key), weights.get(key)
        if mine is None or its is None or mine.shape != its.shape:
            ours, other = (tuple(w.shape) if w is not None else "none" for w in (mine, its))
            raise UserError(
                f"init_from={path} has other networks: {key} is {other} there and {ours} here; "
                "choose the same network and image size"
            )
    system.load_state_dict(weights, strict=False)
    # The loaded average is no untrained one, which the first steps would have to forget.
    counters = checkpoint["progress"]
    system.progress.updates_before = counters["generator_updates"] + counters.get("updates_before", 0)


def data_info(stored: dict[str, Any]) -> DataInfo:
    """Read the data set's description back."""
    names = stored["class_names"]
    return DataInfo(
        stored["name"],
        tuple(stored["shape"]),
        None if names is None else tuple(names),
        stored["sizes"],
        stored["fingerprint"],
    )


def pick_device(name: str) -> torch.device:
    """Return the device that a name means.

    Raises:
        UserError: where this machine has none of that kind.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    if not available[name]:
        raise UserError(f"device={name}: this machine has none; use device=cpu")
    return torch.device(name)
