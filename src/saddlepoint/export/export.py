"""``python sample.py checkpoint=PATH export=DIR``: exports a system's networks to files that contain no code.

For a network called NAME (``generator`` for most systems), ``NAME.safetensors`` contains the weights, ``NAME.json`` the
arguments of the network and a description of its inputs and outputs, and ``NAME.onnx`` the graph, for use without
PyTorch.
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

from saddlepoint import __version__, trees, writing
from saddlepoint.assembly import parts
from saddlepoint.assembly.restore import Restored
from saddlepoint.config.check import check_parts
from saddlepoint.config.references import check_references
from saddlepoint.errors import UserError
from saddlepoint.export.onnx import ConversionError, to_onnx
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.revision import git_revision
from saddlepoint.systems.capabilities import Export
from saddlepoint.writing import write_atomically

log = logging.getLogger(__name__)

FORMAT = 1
"""Version of the format, incremented by incompatible changes."""

REMEDY = "choose another folder"
ABOUT, WEIGHTS, GRAPH = ".json", ".safetensors", ".onnx"


@dataclass(frozen=True)
class Exported:
    """A network loaded from an export.

    Attributes:
        network: the network with its weights, in evaluation mode, on the CPU.
        about: the contents of its JSON file.
    """

    network: nn.Module
    about: dict[str, Any]


def check_folder(folder: Path) -> None:
    """Check that a folder is new or empty and can be written.

    Raises:
        UserError: if it is not empty, not a folder, or cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is not a folder", "export", REMEDY)
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty", "export", REMEDY)
    with writing.folder(folder, (), REMEDY):
        pass


def write(restored: Restored, folder: Path, ema: bool = True, plugins: Sequence[str] = ()) -> list[str]:
    """Export the networks of a checkpoint to ``folder``. Either all files are written or none.

    Args:
        restored: the restored checkpoint.
        folder: a new or empty folder.
        ema: export the averaged weights, if the checkpoint has them.
        plugins: trusted packages whose classes the checkpoint may name.

    Returns:
        The names of the files. If a network cannot be converted to ONNX, or the packages for this are not installed,
        its graph is left out with a warning.

    Raises:
        UserError: if the system exports no networks, or the folder cannot be written.
    """
    check_folder(folder)
    exports = restored.system.exports(ema)
    if not exports:
        raise UserError(f"model={restored.about['choices']['model']} exports no network", "export")
    files: dict[str, bytes] = {}
    for name, export in exports.items():
        files |= _files(restored, name, export, plugins)
    _write_folder(folder, files)
    return sorted(files)


def _files(restored: Restored, name: str, export: Export, plugins: Sequence[str]) -> dict[str, bytes]:
    """Return the files of one network, by name."""
    network = _at_rest(copy.deepcopy(export.network).cpu())
    if not all(torch.isfinite(tensor).all() for tensor in _tensors(network).values()):
        raise UserError(
            f"checkpoint {restored.path}: the {name}'s weights hold NaN or infinite values, so it has diverged",
            None,
            "choose an earlier checkpoint",
        )
    files = {name + WEIGHTS: safetensors.torch.save(_tensors(network), {"format": "pt"})}
    try:
        files[name + GRAPH] = to_onnx(network, export.inputs, export.outputs)
    except ConversionError as error:
        log.warning("no %s: %s", name + GRAPH, error)
    about = _describe(restored, network, export)
    about["network"], about["ema"] = _network(restored, export.role, plugins), export.averaged
    about["sha256"] = {file: hashlib.sha256(data).hexdigest() for file, data in files.items()}
    files[name + ABOUT] = (json.dumps(about, indent=2, allow_nan=False) + "\n").encode()
    return files


def load(folder: Path, plugins: Sequence[str] = (), name: str = "generator") -> Exported:
    """Load a network from its JSON and safetensors files.

    Args:
        folder: the folder written by :func:`write`.
        plugins: trusted packages whose classes the export may name.
        name: the name of the network.

    Raises:
        UserError: if files are missing or damaged, have another format version, or name a class that is not allowed.
    """
    weights, describes = name + WEIGHTS, folder / (name + ABOUT)
    try:
        about = json.loads(describes.read_text())
        data = (folder / weights).read_bytes()
    except OSError as error:
        raise UserError(
            f"cannot read {error.filename}: {error.strerror}", None, "give the folder of an export"
        ) from None
    except ValueError:
        raise UserError(f"{describes}: not valid JSON", None, "export the checkpoint again") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        found = about.get("format") if isinstance(about, dict) else None
        raise UserError(f"{describes} has export format {found}; saddlepoint {__version__} reads format {FORMAT}")
    try:
        if about["sha256"][weights] != hashlib.sha256(data).hexdigest():
            raise UserError(f"damaged export {folder}: {weights} does not match its sha256", None, "export it again")
        check_references(about["network"], "network")
        config = OmegaConf.create({"network": {name: about["network"]}})
        check_parts(config, {}, plugins)
        network: nn.Module = parts.part(config.network[name], plugins)
        network.load_state_dict(safetensors.torch.load(data))
    except (KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise UserError(
            f"export {folder} is not compatible with this version ({type(error).__name__}: {first})"
        ) from None
    return Exported(_at_rest(network), about)


def _at_rest(network: nn.Module) -> nn.Module:
    """Return the network in evaluation mode, in the memory format of sampling, on which the last bits depend."""
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def _tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return weights and buffers by name, without shared memory, as safetensors requires."""
    return {key: value.detach().contiguous().clone() for key, value in network.state_dict().items()}


def _describe(restored: Restored, network: nn.Module, export: Export) -> dict[str, Any]:
    about, info, system = restored.about, restored.info, restored.system
    classes = int(getattr(network, "num_classes", 0) or 0)
    cards = [ScoreCard.from_json(line) for line in about.get("latest", ())]
    return {
        "format": FORMAT,
        "saddlepoint": __version__,
        "revision": git_revision(),
        "checkpoint_version": about["version"],
        "model": about["choices"]["model"],
        "data": {"name": info.name, "fingerprint": info.fingerprint},
        "inputs": {name: list(tensor.shape[1:]) for name, tensor in export.inputs.items()},
        "outputs": _shapes(network, export),
        "shape": list(info.shape),
        "range": [-1.0, 1.0] if info.is_image else None,
        "latent_dim": getattr(network, "latent_dim", None),
        "prior": getattr(system, "described_prior", None) or getattr(system, "prior", None),
        "encoder": (about["config"].get("encoder") or {}).get("sha256"),
        "num_classes": classes,
        "class_names": list(info.class_names) if classes and info.class_names else None,
        "images_seen": system.progress.images_seen,
        "generator_updates": system.progress.generator_updates,
        "scores": [dataclasses.asdict(card) for card in cards],
    }


@torch.no_grad()
def _shapes(network: nn.Module, export: Export) -> dict[str, list[int]]:
    """Return the shape of a row of each output, by name."""
    found = trees.leaves(network(**export.inputs))
    return {name: list(tensor.shape[1:]) for name, tensor in zip(export.outputs, found, strict=True)}


def _network(restored: Restored, role: str, plugins: Sequence[str]) -> dict[str, Any]:
    """Return a network's ``_target_`` and arguments, with interpolations resolved."""
    config: Any = OmegaConf.create(restored.about["config"])
    content: dict[str, Any] = parts.arguments_of(config.network[role], plugins)
    return content


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder atomically: after a crash at any time, all of the files are there or none."""
    folder = folder.resolve()
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        with writing.explained(folder, REMEDY):
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary.mkdir()
            for name, data in files.items():
                write_atomically(temporary / name, data)
            temporary.replace(folder)  # also replaces an empty folder; fails if it is not empty
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
