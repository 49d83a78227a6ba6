"""Images in NumPy's ``.npz``, a layout that many tools read and write. Nothing in it is ever unpickled."""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saddlepoint.data.sources.base import Labels
from saddlepoint.data.store import is_file
from saddlepoint.errors import UserError

KEYS = ("images", "arr_0")
"""The names that images may have: ours, and NumPy's for an array that was saved without a name."""
LAYOUT = "it must hold images (or arr_0), uint8 [N, H, W] or [N, H, W, C], and may hold labels, integers [N]"


def read_images(path: Path) -> tuple[NDArray[np.uint8], Labels | None]:
    """Read images, and labels where there are any.

    Args:
        path: the file.

    Returns:
        Images, uint8 [N, H, W, C] with C of 1, 3 or 4, and labels, int64 [N] or None, as the file has them.

    Raises:
        UserError: there is no such file, it is not an ``.npz``, or its content is not what :data:`LAYOUT` says.
    """
    headers = _headers(path)
    key = next((key for key in KEYS if key in headers), None)
    if key is None:
        raise UserError(f"{path}: holds {', '.join(headers) or 'nothing'}", None, LAYOUT)
    shape, dtype = headers[key]
    if dtype != np.uint8:
        problem = f"{path}: {key} is of type {dtype}"
        raise UserError(problem, None, "save uint8, round((x + 1) * 127.5) of images in [-1, 1]")
    if len(shape) not in (3, 4) or 0 in shape:
        raise UserError(f"{path}: {key} has shape {list(shape)}", None, LAYOUT)
    if len(shape) == 4 and shape[3] not in (1, 3, 4):
        remedy = "move the channels to the end" if shape[1] in (1, 3, 4) else "C is 1, 3 or 4"
        raise UserError(f"{path}: {key} has shape {list(shape)}, not [N, H, W, C]", None, remedy)
    images = _load(path, key, headers)
    labels = None
    if "labels" in headers:
        shape, dtype = headers["labels"]
        if dtype.kind not in "iu" or shape != images.shape[:1]:
            problem = f"{path}: labels are {dtype} {list(shape)}"
            raise UserError(problem, None, f"save integers [{len(images)}], or none")
        labels = _load(path, "labels", headers).astype(np.int64)
    return images[..., None] if images.ndim == 3 else images, labels


def holds_points(path: Path) -> bool:
    """Whether a file is an ``.npz`` that holds points, as ``sample.py`` writes them."""
    return path.suffix == ".npz" and is_file(path) and "points" in _headers(path)


def read_points(path: Path) -> NDArray[np.float32]:
    """Read ``points``, float [N, D].

    Raises:
        UserError: they are not floats [N, D], or not finite.
    """
    headers = _headers(path)
    shape, dtype = headers["points"]
    if dtype.kind != "f" or len(shape) != 2 or 0 in shape:
        raise UserError(f"{path}: points are {dtype} {list(shape)}", None, "save floats [N, D]")
    points = _load(path, "points", headers).astype(np.float32)
    if not np.isfinite(points).all():
        problem = f"{path}: points hold NaN or infinite values"
        raise UserError(problem, None, "take another checkpoint, or remove those rows")
    return points


def _headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Return every array's shape and type, by its name, without reading it: an object array is refused by its type."""
    if not is_file(path):
        raise UserError(f"{path}: no such file", None, LAYOUT)
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if not name.endswith(".npy"):
                    continue
                with archive.open(name) as member:
                    version = np.lib.format.read_magic(member)
                    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
                    shape, _, dtype = read[version](member)
                found[name.removesuffix(".npy")] = shape, dtype
    except Exception as error:  # zipfile and NumPy raise half a dozen kinds over broken bytes
        raise UserError(f"{path}: not a readable .npz file ({error})", None, LAYOUT) from None
    return found


def _load(path: Path, key: str, headers: dict[str, tuple[tuple[int, ...], np.dtype[Any]]]) -> NDArray[Any]:
    """Read one array, if this machine's memory can hold it: what is declared may be far larger than the file."""
    shape, dtype = headers[key]
    size, memory = math.prod(shape) * dtype.itemsize, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory:
        raise UserError(
            f"{path}: {key} needs {size / 1e9:.1f} GB unpacked, this machine has {memory / 1e9:.1f}",
            None,
            "save fewer images, or a folder or zip of files",
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            array: NDArray[Any] = file[key]
    except Exception as error:
        raise UserError(f"{path}: {key} cannot be read ({error})", None, "save it again") from None
    return array
