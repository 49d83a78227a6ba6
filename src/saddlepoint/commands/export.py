"""``python sample.py checkpoint=PATH export=DIR``: a generator on its own, in files that hold no code.

``generator.safetensors`` has the weights, ``generator.json`` all that it takes to build the network and to feed it, and
``generator.onnx`` the computation, for programs without PyTorch.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from omegaconf import OmegaConf
from safetensors import SafetensorError
from torch import nn

from saddlepoint import __version__
from saddlepoint.commands import build, safety, writing
from saddlepoint.commands.check import check_parts
from saddlepoint.commands.onnx import ConversionError, to_onnx
from saddlepoint.commands.restore import Restored
from saddlepoint.commands.scorers import git_revision
from saddlepoint.errors import UserError
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.tracking.run_directory import write_atomically

log = logging.getLogger(__name__)

FORMAT = 1
"""Raised whenever an older reader could misread a newer export."""

REMEDY = "choose another folder"
ABOUT, WEIGHTS, GRAPH = "generator.json", "generator.safetensors", "generator.onnx"


@dataclass(frozen=True)
class Exported:
    """A generator that was read back.

    Attributes:
        generator: with its weights, in evaluation mode, on the CPU.
        about: what ``generator.json`` says.
    """

    generator: nn.Module
    about: dict[str, Any]


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds something or cannot be written, before the checkpoint is read.

    Raises:
        UserError: where it does or cannot, or is no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"export={folder} is a file; choose a new folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"export={folder} is not empty; choose a new folder")
    with writing.folder(folder, (), REMEDY):
        pass


def write(restored: Restored, folder: Path, ema: bool = True, plugins: Sequence[str] = ()) -> list[str]:
    """Write the generator of a checkpoint into ``folder``: all files or none.

    Args:
        restored: the checkpoint.
        folder: new or empty.
        ema: the averaged weights, where the checkpoint holds some.
        plugins: packages whose classes the checkpoint may name.

    Returns:
        The files' names. ``generator.onnx`` is missing, and a line says why, where the network cannot be converted or
        the packages for it are not installed.

    Raises:
        UserError: for a system without a generator of latents, or a folder that cannot be written.
    """
    check_folder(folder)
    generator, averaged = _generator(restored, ema)
    files = {WEIGHTS: safetensors.torch.save(_tensors(generator), {"format": "pt"})}
    try:
        files[GRAPH] = to_onnx(generator, "images" if restored.info.is_image else "points")
    except ConversionError as error:
        log.warning("no %s: %s", GRAPH, error)
    about = _describe(restored, generator)
    about["network"], about["ema"] = _network(restored, plugins), averaged
    about["sha256"] = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    files[ABOUT] = (json.dumps(about, indent=2, allow_nan=False) + "\n").encode()
    _write_folder(folder, files)
    return sorted(files)


def load(folder: Path, plugins: Sequence[str] = ()) -> Exported:
    """Build the generator that :func:`write` wrote, from ``generator.json`` and ``generator.safetensors`` alone.

    Args:
        folder: the export.
        plugins: packages whose classes the export may name; its own word for it is not taken.

    Raises:
        UserError: for files that are missing, damaged, newer, or name anything but a known network.
    """
    try:
        about = json.loads((folder / ABOUT).read_text())
        data = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}; give the folder of an export") from None
    except ValueError:
        raise UserError(f"{folder / ABOUT}: no JSON; export the checkpoint again") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        found = about.get("format") if isinstance(about, dict) else None
        raise UserError(f"{folder / ABOUT} has export format {found}; saddlepoint {__version__} reads format {FORMAT}")
    try:
        if about["sha256"][WEIGHTS] != hashlib.sha256(data).hexdigest():
            raise UserError(f"damaged export {folder}: {WEIGHTS} does not match its sha256; export it again")
        safety.check_references(about["network"], "network")
        config = OmegaConf.create({"network": {"generator": about["network"]}})
        check_parts(config, {}, plugins)
        generator: nn.Module = build.part(config.network.generator, plugins)
        generator.load_state_dict(safetensors.torch.load(data))
    except (KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise UserError(f"export {folder} does not fit this version: {type(error).__name__}: {first}") from None
    return Exported(_at_rest(generator), about)


def _generator(restored: Restored, ema: bool) -> tuple[nn.Module, bool]:
    """Return a copy of the generator on the CPU, and whether its weights are averages."""
    average = getattr(restored.system, "ema_generator", None) if ema else None
    generator = average if average is not None else restored.system.networks.get("generator")
    if generator is None or not isinstance(getattr(generator, "latent_dim", None), int):
        raise UserError(
            f"model={restored.about['choices']['model']} has no generator that maps latents alone to samples, "
            "so there is nothing to export"
        )
    if not all(torch.isfinite(tensor).all() for tensor in _tensors(generator).values()):
        raise UserError(
            f"checkpoint {restored.path}: the generator's weights hold NaN or infinite values: it has diverged; "
            "choose an earlier checkpoint"
        )
    return _at_rest(copy.deepcopy(generator).cpu()), average is not None


def _at_rest(generator: nn.Module) -> nn.Module:
    """In evaluation mode, and in the memory format that systems sample in, since the last bits depend on it."""
    return generator.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def _tensors(generator: nn.Module) -> dict[str, torch.Tensor]:
    """Return weights and buffers by name, each with memory of its own, which safetensors demands."""
    return {key: value.detach().contiguous().clone() for key, value in generator.state_dict().items()}


def _describe(restored: Restored, generator: nn.Module) -> dict[str, Any]:
    about, info, system = restored.about, restored.info, restored.system
    classes = int(getattr(generator, "num_classes", 0) or 0)
    cards = [ScoreCard.from_json(line) for line in about.get("latest", ())]
    return {
        "format": FORMAT,
        "saddlepoint": __version__,
        "revision": git_revision(),
        "checkpoint_version": about["version"],
        "model": about["choices"]["model"],
        "data": {"name": info.name, "fingerprint": info.fingerprint},
        "shape": list(info.shape),
        "range": [-1.0, 1.0] if info.is_image else None,
        "latent_dim": generator.latent_dim,
        "prior": getattr(system, "prior", None),
        "num_classes": classes,
        "class_names": list(info.class_names) if classes and info.class_names else None,
        "images_seen": system.progress.images_seen,
        "generator_updates": system.progress.generator_updates,
        "scores": [dataclasses.asdict(card) for card in cards],
    }


def _network(restored: Restored, plugins: Sequence[str]) -> dict[str, Any]:
    """Return the generator's ``_target_`` and arguments, with nothing left to be looked up elsewhere."""
    config: Any = OmegaConf.create(restored.about["config"])
    content: dict[str, Any] = build.arguments_of(config.network.generator, plugins)
    return content


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder that is there whole or not at all, whenever the machine stops."""
    folder = folder.resolve()
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        with writing.explained(folder, REMEDY):
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary.mkdir()
            for name, data in files.items():
                write_atomically(temporary / name, data)
            temporary.replace(folder)  # over an empty folder too; the system refuses one that was filled meanwhile
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
