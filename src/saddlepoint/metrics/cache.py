"""A cache of tensors on disk: files are written atomically and verified when they are read.

Files are in the safetensors format, which cannot contain code. Their metadata identifies the tensors and holds a digest
of their bytes. A file that is truncated, corrupted or of other tensors is treated as missing, so it is rebuilt.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from saddlepoint.writing import write_atomically


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 of the tensors' names, types, shapes and bytes, in alphabetical order of the names.

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
    """Return a hash of a header, 16 hexadecimal digits, for use in a file's name."""
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()[:16]


def write(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write ``tensors`` to ``path`` atomically; warn if that is impossible.

    Args:
        path: the file; its directory is created if necessary.
        tensors: on any device; one that has several names is stored once.
        header: plain values that identify the tensors; :func:`read` must be given the same.
        facts: plain values that are stored and returned with the tensors.
    """
    names = {id(tensor): name for name, tensor in reversed(list(tensors.items()))}
    same = {name: names[id(tensor)] for name, tensor in tensors.items() if name != names[id(tensor)]}
    # Clones, because safetensors refuses tensors that share memory, as two metrics' references may.
    own = {name: tensors[name].detach().cpu().contiguous().clone() for name in names.values()}
    metadata = {
        "header": json.dumps(header, sort_keys=True), "facts": json.dumps(facts), "sha256": digest(own),
        "same": json.dumps(same),
    }  # fmt: skip
    data = safetensors.torch.save(own, metadata=metadata)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    except OSError as error:
        warnings.warn(f"cannot cache {path}: {error.strerror}; it will be computed again", stacklevel=2)


def read(path: Path, header: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return the tensors and facts at ``path``, or None unless it is an intact file with exactly this ``header``."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
        if metadata["header"] != json.dumps(header, sort_keys=True) or metadata["sha256"] != digest(tensors):
            return None
        tensors |= {name: tensors[first] for name, first in json.loads(metadata.get("same", "{}")).items()}
        return tensors, json.loads(metadata["facts"])
    except (OSError, KeyError, ValueError, safetensors.SafetensorError):
        return None
