"""Tensors and a header on disk: written whole or not at all, and never trusted unread.

Files are safetensors, which hold no code. Their header carries what the tensors are and a digest of their bytes: a file
that is cut short, flipped or about something else reads as absent, so its owner builds it anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 of names, types, shapes and bytes, in the names' order.

    >>> digest({"a": torch.zeros(2)}) == digest({"a": torch.zeros(2, 1)})
    False
    """
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def short_key(header: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that name a header, for a file's name."""
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()[:16]


def write(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Put ``tensors`` at ``path`` by a temporary file beside it and a rename.

    Args:
        path: the file; its folder is made.
        tensors: on any device.
        header: plain values that say what the tensors belong to; :func:`read` asks for the same.
        facts: plain values that belong to the tensors and come back with them.

    A cache that cannot be written costs time, not the run: that is a warning.
    """
    own = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"header": json.dumps(header, sort_keys=True), "facts": json.dumps(facts), "sha256": digest(own)}
    data = safetensors.torch.save(own, metadata=metadata)
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = file.name
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        warnings.warn(f"cannot cache {path}: {error.strerror}; it will be computed again", stacklevel=2)
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def read(path: Path, header: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return the tensors and facts at ``path``, or None where there is no sound file about exactly ``header``."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a method, not a dict's)
        if metadata["header"] != json.dumps(header, sort_keys=True) or metadata["sha256"] != digest(tensors):
            return None
        return tensors, json.loads(metadata["facts"])
    except (OSError, KeyError, ValueError, safetensors.SafetensorError):
        return None
