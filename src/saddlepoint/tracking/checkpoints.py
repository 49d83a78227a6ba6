"""Checkpoint files: self-describing, written atomically, and loaded without running code.

A checkpoint is a file that ``torch.load(weights_only=True)`` can read. In addition to Lightning's entries it has an
entry ``saddlepoint`` with the version of the format, the config as plain containers, the choice of each group, the
shape and the classes of the data, and the features and real statistics that scores are computed from.
"""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from saddlepoint import __version__
from saddlepoint.errors import UserError
from saddlepoint.writing import write_atomically

log = logging.getLogger(__name__)

FORMAT = 1
"""Version of the format, incremented by incompatible changes."""
REMEDY = "give a .ckpt file or the folder of a run"


def save(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint and its sha256."""
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    write_checkpoint_bytes(path, buffer.getvalue())


def remove(path: Path) -> None:
    """Remove a checkpoint and its sha256."""
    path.unlink(missing_ok=True)
    _digest_path(path).unlink(missing_ok=True)


def write_checkpoint_bytes(path: Path, data: bytes) -> None:
    """Write the content of a checkpoint file, and its sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Otherwise, after a crash between the two writes, the new file would not match the old digest.
    _digest_path(path).unlink(missing_ok=True)
    write_atomically(path, data)
    write_atomically(_digest_path(path), f"{hashlib.sha256(data).hexdigest()}  {path.name}\n".encode())


def rotate(last: Path) -> None:
    """Rename the checkpoint ``last`` to ``previous.ckpt`` before a new one is written.

    A damaged checkpoint is not renamed: if the run was resumed from ``previous.ckpt``, that is the only intact one.
    """
    previous = last.with_name("previous.ckpt")
    if last.exists() and _matches_digest(last, last.read_bytes()):
        _digest_path(previous).unlink(missing_ok=True)
        last.replace(previous)
        if _digest_path(last).exists():
            _digest_path(last).replace(_digest_path(previous))


def load_newest(directory: Path) -> tuple[Path, dict[str, Any]]:
    """Load the newest intact checkpoint of a run; damaged checkpoints are skipped with a warning.

    Args:
        directory: the run's ``checkpoints`` folder.

    Returns:
        The path and the content.

    Raises:
        UserError: if there is no checkpoint, or none is intact.
    """
    candidates = [path for name in ("last", "previous", "best") if (path := directory / f"{name}.ckpt").exists()]
    if not candidates:
        problem = f"no checkpoint in {directory}: the run was stopped before the first was written"
        raise UserError(problem, None, "start a new run")
    for path in candidates:
        try:
            return path, load(path)
        except UserError as error:
            log.warning("%s", error)
    raise UserError(f"no intact checkpoint in {directory}", None, "start a new run")


def load(path: Path) -> dict[str, Any]:
    """Load a checkpoint, without running any code that the file may contain.

    Raises:
        UserError: if the file is missing or damaged, contains code, has another format version, or is not a checkpoint.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read checkpoint {path}: {error.strerror}") from None
    if not _matches_digest(path, data):
        name = _digest_path(path).name
        raise UserError(f"damaged checkpoint {path}: its content does not match {name}", None, "use another checkpoint")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, for pickles of other programs
            checkpoint = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "global" in str(error).lower() or _names_functions(data):
            raise UserError(f"refused: {path} contains code", None, "ask its author for a safetensors export") from None
        raise UserError(f"not a checkpoint: {path}", None, REMEDY) from None
    except Exception:
        raise UserError(f"not a checkpoint: {path}", None, REMEDY) from None
    return _validated(checkpoint, path)


def _names_functions(data: bytes) -> bool:
    """Whether a file that ``weights_only`` rejects is a pickle that calls functions; it is only parsed, not run."""
    try:
        if zipfile.is_zipfile(io.BytesIO(data)):
            archive = zipfile.ZipFile(io.BytesIO(data))
            data = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
        return any(code.name in ("GLOBAL", "STACK_GLOBAL", "INST") for code, _, _ in pickletools.genops(data))
    except Exception:
        return False


def _validated(checkpoint: Any, path: Path) -> dict[str, Any]:
    about = checkpoint.get("saddlepoint") if isinstance(checkpoint, dict) else None
    if not isinstance(about, dict) or not isinstance(about.get("format"), int):
        raise UserError(f"not a Saddlepoint checkpoint: {path}")
    if about["format"] != FORMAT:
        raise UserError(
            f"{path} has checkpoint format {about['format']} (written by saddlepoint {about.get('version')}), "
            f"but saddlepoint {__version__} reads format {FORMAT}",
            None,
            "install the version that wrote it",
        )
    return checkpoint


def check_complete(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Check that a checkpoint has all required entries.

    Raises:
        UserError: if an entry is missing or damaged.
    """
    about = checkpoint["saddlepoint"]
    parts = {
        **{name: (about.get(name), dict) for name in ("config", "choices", "data")},
        **{name: (checkpoint.get(name), dict) for name in ("state_dict", "progress")},
        "optimizer_states": (checkpoint.get("optimizer_states"), list),
    }
    for name, (found, kind) in parts.items():
        if not isinstance(found, kind):
            raise UserError(
                f"incomplete checkpoint {path}: its {name} is missing or damaged", None, "use another checkpoint"
            )


def _matches_digest(path: Path, data: bytes) -> bool:
    """Whether ``data`` matches the sha256 file beside ``path``; true if there is no such file."""
    digest = _digest_path(path)
    return not digest.exists() or digest.read_bytes().split()[:1] == [hashlib.sha256(data).hexdigest().encode()]


def _digest_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
