"""Restores systems from checkpoint files, whose configs may only name allowed classes."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf, open_dict

from saddlepoint.assembly.build import build_system
from saddlepoint.config.references import check_references
from saddlepoint.data.store import given_path, read_file, status
from saddlepoint.errors import UserError
from saddlepoint.systems.capabilities import Encodes
from saddlepoint.systems.encoders import FrozenEncoder
from saddlepoint.systems.game import Game
from saddlepoint.tracking import checkpoints, wandb_artifact
from saddlepoint.types import DataInfo

ENCODER = "encoder.ckpt"
"""A run's own copy of the checkpoint of its encoder, in the run's folder."""


@dataclass(frozen=True)
class Restored:
    """A restored system and the description of its run.

    Attributes:
        path: the checkpoint file.
        system: the system with its weights, in evaluation mode.
        about: config, choices, data, features and reference, as plain containers.
        info: the description of the training data.
    """

    path: Path
    system: Game
    about: dict[str, Any]
    info: DataInfo


def find(path: str | None, key: str = "checkpoint") -> Path:
    """Return the checkpoint file for ``path``: the file itself, or for a run's folder its best or newest checkpoint.

    Args:
        path: a file or a folder, or ``wandb:ENTITY/PROJECT/NAME:ALIAS``, an artifact that is downloaded.
        key: the setting that names it.

    Raises:
        UserError: if there is no checkpoint.
    """
    if not path:
        raise UserError("no checkpoint given", key, "give a .ckpt file or a run's folder")
    given = wandb_artifact.download(path, key) if path.startswith(wandb_artifact.PREFIX) else given_path(path)
    if (found := status(given)) is None:
        raise UserError(f"no checkpoint at {given}", None, "give a .ckpt file or a run's folder")
    if not stat.S_ISDIR(found.st_mode):
        return given
    for folder in (given / "checkpoints", given):
        for name in ("best.ckpt", "last.ckpt", "previous.ckpt"):
            if status(folder / name) is not None:
                return folder / name
    raise UserError(
        f"no checkpoint in {given}", None, "give a .ckpt file, or a run's folder, which holds checkpoints/last.ckpt"
    )


def restore(path: Path, device: str = "auto", plugins: Sequence[str] = ()) -> Restored:
    """Restore the system of a checkpoint.

    Args:
        path: the checkpoint file.
        device: device of the system; ``auto`` selects a GPU if there is one.
        plugins: trusted packages whose classes the checkpoint's config may name; the config's own list is ignored.

    Raises:
        UserError: if the checkpoint cannot be used.
    """
    checkpoint = checkpoints.load(path)
    checkpoints.check_complete(checkpoint, path)
    about = checkpoint["saddlepoint"]
    try:
        check_references(about["config"])
        config = OmegaConf.create(about["config"])
        info = data_info(about["data"])
        assert isinstance(config, DictConfig)
        config.plugins = list(plugins)
        run = path.resolve().parent
        encoder = encoder_of(config, info, device, run.parent if run.name == "checkpoints" else run)
        system = build_system(config, encoder=encoder)
        system.load_state_dict(checkpoint["state_dict"])
        system.on_load_checkpoint(checkpoint)
    except UserError as error:
        raise within(path, "checkpoint", error) from None
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError, RuntimeError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise UserError(
            f"{path} is not compatible with this version ({type(error).__name__}: {first})", "checkpoint"
        ) from None
    return Restored(path, system.eval().to(pick_device(device)), about, info)


def encoder_of(
    config: DictConfig, info: DataInfo, device: str = "auto", run: Path | None = None
) -> FrozenEncoder | None:
    """Return the frozen encoder in whose latent space a run trains, or None without one.

    Checkpoints of the run contain the sha256 of the encoder's file instead of its weights, so that the encoder cannot
    be replaced by another. The run's folder has a copy of the file.

    Args:
        config: the run's config; ``encoder.sha256`` is set if it is null.
        info: what the run's data are.
        device: device of the encoder.
        run: the run's folder, whose copy is used if there is one; None for a new run.

    Raises:
        UserError: if the encoder's checkpoint cannot be used, or is not the one that the run started with.
    """
    if not config.get("encoder"):
        return None
    path = None if run is None else run / ENCODER
    if path is None or status(path) is None:
        if run is not None and str(config.encoder.checkpoint).startswith(wandb_artifact.PREFIX):
            problem = f"{path} is missing"  # a checkpoint, which may be someone else's, must not start a download
            raise UserError(problem, "encoder.checkpoint", f"put the file of {config.encoder.checkpoint} there")
        try:
            path = find(config.encoder.checkpoint)
        except UserError as error:
            remedy = error.remedy if run is None else f"put it there, or as {ENCODER} into {run}"
            raise UserError(error.problem, "encoder.checkpoint", remedy) from None
    expected = config.encoder.get("sha256")
    if run is not None and expected is None:
        raise UserError("missing key", "encoder.sha256", "restore the original checkpoint")
    digest = hashlib.sha256(read_file(path)).hexdigest()
    if expected not in (None, digest):
        raise UserError(
            f"{path} is not the encoder that the run started with", "encoder.checkpoint", "restore the original file"
        )
    try:
        restored = restore(path, device, config.plugins)
    except UserError as error:
        raise error.at("encoder.checkpoint") from None
    if not isinstance(restored.system, Encodes):
        raise UserError(
            f"the model of {path} has no encoder",
            "encoder.checkpoint",
            "choose a checkpoint of a model that has one, such as vae",
        )
    if restored.info.shape != info.shape:
        shapes = [" x ".join(map(str, shape)) for shape in (restored.info.shape, info.shape)]
        raise UserError(
            f"{path} encodes samples of shape {shapes[0]}, and those of {info.name} are {shapes[1]}",
            "encoder.checkpoint",
            "choose a model that was trained on samples of this shape",
        )
    with open_dict(config):
        config.encoder.sha256 = digest
    return FrozenEncoder(restored.system)


def encoder_to_keep(config: DictConfig, run: Path | None) -> bytes | None:
    """Return the checkpoint of the run's encoder, of which the run's folder gets a copy and so needs no other folder.

    Args:
        config: the run's config, with ``encoder.sha256``.
        run: the folder of a resumed run; None for a new run.

    Returns:
        The file's bytes; None if the run has no encoder, or has the copy.

    Raises:
        UserError: if the checkpoint has changed since :func:`encoder_of` read it, because it is still being trained.
    """
    if not config.get("encoder") or (run is not None and status(run / ENCODER) is not None):
        return None
    path = find(config.encoder.checkpoint)
    content = read_file(path)
    if hashlib.sha256(content).hexdigest() != config.encoder.sha256:
        raise UserError(f"{path} has changed while it was read", "encoder.checkpoint", "start again")
    return content


def within(path: Path, key: str, error: UserError) -> UserError:
    """Return an error in a checkpoint's config as an error of ``key``, the setting that names the checkpoint."""
    where = f"{error.key}: " if error.key else ""
    return UserError(f"{path}: {where}{error.problem}", key, error.remedy)


def initialize(system: Game, path: Path, model: str) -> None:
    """Load the networks' weights and their averages from a checkpoint of the same model.

    Raises:
        UserError: if the checkpoint is of another model or has different networks.
    """
    checkpoint = checkpoints.load(path)
    checkpoints.check_complete(checkpoint, path)
    theirs = checkpoint["saddlepoint"]["choices"].get("model")
    if theirs != model:
        raise UserError(f"{path} is a checkpoint of model '{theirs}', and this run is of model '{model}'", "init_from")
    roles = tuple(f"{role}." for role in (*system.networks, *(f"ema_{role}" for role in system.averages)))
    weights = {key: value for key, value in checkpoint["state_dict"].items() if key.startswith(roles)}
    own = {key: value for key, value in system.state_dict().items() if key.startswith(roles)}
    for key in sorted(own.keys() | weights.keys()):
        mine, its = own.get(key), weights.get(key)
        if mine is None or its is None or mine.shape != its.shape:
            ours, other = (tuple(w.shape) if w is not None else "none" for w in (mine, its))
            raise UserError(
                f"{path} has different networks: {key} is {other} there and {ours} here",
                "init_from",
                "choose the same network and image size",
            )
    system.load_state_dict(weights, strict=False)
    # Averages decay faster in the first updates, to forget untrained weights; so continue the checkpoint's count.
    counters = checkpoint["progress"]
    system.progress.updates_before = counters["generator_updates"] + counters.get("updates_before", 0)


def data_info(stored: dict[str, Any]) -> DataInfo:
    """Return the description of the data stored in a checkpoint."""
    names, columns = stored["class_names"], stored.get("columns")
    return DataInfo(
        stored["name"],
        tuple(stored["shape"]),
        None if names is None else tuple(names),
        stored["sizes"],
        stored["fingerprint"],
        None if columns is None else {name: tuple(shape) for name, shape in columns.items()},
        stored.get("aligned", True),
    )


def pick_device(name: str) -> torch.device:
    """Return the device for a name, which may be ``auto``.

    Raises:
        UserError: if this machine has no such device.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    if not available[name]:
        raise UserError(f"this machine has no {name} device", "device", "use cpu")
    return torch.device(name)
