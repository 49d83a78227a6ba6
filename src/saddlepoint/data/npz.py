"""Reading images and points from NumPy's ``.npz`` and ``.npy`` files, without unpickling."""

from __future__ import annotations

import math
import os
import struct
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from saddlepoint.data.sources.base import ArrayColumn, Labels
from saddlepoint.data.store import is_file
from saddlepoint.errors import UserError

KEYS = ("images", "arr_0")
"""Accepted names of the images' array; the second is NumPy's for an array that was saved without a name."""
SHAPES = "uint8 [N, H, W] or [N, H, W, C]"
ASYMMETRY = 1e-5
"""Largest difference between a covariance and its transpose, relative to its largest value: rounding of float32."""
LAYOUT = f"it must contain images (or arr_0), {SHAPES}, and may contain labels, integers [N]"


def names(path: Path) -> list[str]:
    """Return the names of the arrays in an ``.npz``.

    Raises:
        UserError: there is no such file, or it is not an ``.npz``.
    """
    return list(_headers(path))


MAPPED_BYTES = 256 << 20
"""Larger arrays stay on disk, if they are not compressed."""

Images = NDArray[np.uint8] | ArrayColumn
"""Images in memory, uint8 [N, H, W, C], or on disk."""


def read_images(path: Path, prefix: str = "", labelled: bool = True) -> tuple[Images, Labels | None]:
    """Read images from an ``.npz``, and labels if there are any.

    Args:
        path: the file.
        prefix: the beginning of the arrays' names, such as ``train_`` of ``train_images`` and ``train_labels``.
        labelled: whether to read the labels.

    Returns:
        Images, uint8 [N, H, W, C] with C of 1, 3 or 4, which stay on disk if they are large and not compressed, and the
        file's labels, int64 [N] or None.

    Raises:
        UserError: there is no such file, it is not an ``.npz``, or its content does not match :data:`LAYOUT`.
    """
    headers = _headers(path)
    key = next((key for key in ([f"{prefix}images"] if prefix else KEYS) if key in headers), None)
    if key is None:
        raise UserError(f"{path}: contains {', '.join(headers) or 'no arrays'}", None, LAYOUT)
    _check_images(path, key, *headers[key])
    shape = headers[key][0]
    offset = _offset(path, key, math.prod(shape))
    images = _channels_last(_load(path, key, headers)) if offset is None else _on_disk(path, offset, shape)
    n = len(images)
    labels = None
    if labelled and (key := f"{prefix}labels") in headers:
        shape, dtype = headers[key]
        if dtype.kind not in "iu" or shape not in ((n,), (n, 1)):
            several = len(shape) == 2 and shape[0] == n
            problem = f"{path}: {key} are {dtype} {list(shape)}" + ", several for each image" * several
            raise UserError(problem, None, f"save integers [{n}], or none")
        labels = _load(path, key, headers).astype(np.int64).reshape(-1)
    return images, labels


def read_array(path: Path) -> Images:
    """Read the images of an ``.npy``, uint8 [N, H, W, C] with C of 1, 3 or 4; they stay on disk if they are large.

    Raises:
        UserError: there is no such file, it is not an ``.npy``, or its content is not uint8 [N, H, W] or [N, H, W, C].
    """
    if not is_file(path):
        raise UserError(f"{path}: no such file", None, f"give an array of images, {SHAPES}")
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # for corrupt files, NumPy raises exceptions of many types
        raise UserError(f"{path}: not a readable .npy file ({error})", None, "save it again") from None
    _check_images(path, "the array", images.shape, images.dtype)
    stays = images.nbytes > MAPPED_BYTES and images.flags.c_contiguous
    return _on_disk(path, images.offset, images.shape) if stays else _channels_last(images)


def _channels_last(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return images[..., None] if images.ndim == 3 else images


def _on_disk(path: Path, offset: int, shape: tuple[int, ...]) -> ArrayColumn:
    n, height, width, channels = (*shape, 1)[:4]
    return ArrayColumn(path, offset, (n, height, width, channels), np.arange(n))


def _offset(path: Path, key: str, size: int) -> int | None:
    """Return the position of an array's data in an ``.npz``; None if it is small, compressed or column-major."""
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        member = archive.getinfo(f"{key}.npy")
        if size <= MAPPED_BYTES or member.compress_type != zipfile.ZIP_STORED or member.file_size < size:
            return None
        file.seek(member.header_offset + 26)  # in the member's local header, which 30 bytes and two strings make up
        file.seek(sum(struct.unpack("<HH", file.read(4))), os.SEEK_CUR)
        _, fortran_order, _ = _array_header(file)
        return None if fortran_order else file.tell()


def _check_images(path: Path, key: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if dtype != np.uint8:
        problem = f"{path}: {key} is of type {dtype}"
        raise UserError(problem, None, "save uint8, round((x + 1) * 127.5) of images in [-1, 1]")
    if len(shape) not in (3, 4) or 0 in shape:
        raise UserError(f"{path}: {key} has shape {list(shape)}", None, f"save images, {SHAPES}")
    if len(shape) == 4 and shape[3] not in (1, 3, 4):
        remedy = "move the channels to the end" if shape[1] in (1, 3, 4) else "C must be 1, 3 or 4"
        raise UserError(f"{path}: {key} has shape {list(shape)}, not [N, H, W, C]", None, remedy)


def holds_moments(path: Path) -> bool:
    """Return whether a file is an ``.npz`` of a mean and a covariance of features, ``mu`` and ``sigma``."""
    return path.suffix == ".npz" and is_file(path) and {"mu", "sigma"} <= _headers(path).keys()


def read_moments(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read ``mu``, float [F], and ``sigma``, float [F, F], as written by pytorch-fid, TTUR and ADM.

    Raises:
        UserError: they have other types or shapes, are not finite, or ``sigma`` is not symmetric.
    """
    headers = _headers(path)
    (shape, kind), (square, of_square) = headers["mu"], headers["sigma"]
    if kind.kind != "f" or of_square.kind != "f" or len(shape) != 1 or square != shape * 2:
        problem = f"{path}: mu is {kind} {list(shape)}, sigma {of_square} {list(square)}"
        raise UserError(problem, None, "save floats [F] and [F, F]")
    mean, covariance = (_load(path, key, headers).astype(np.float64) for key in ("mu", "sigma"))
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise UserError(f"{path}: mu or sigma contains NaN or infinite values", None, "compute them again")
    if np.abs(covariance - covariance.T).max(initial=0) > ASYMMETRY * np.abs(covariance).max(initial=0):
        raise UserError(f"{path}: sigma is not symmetric", None, "save the covariance of the features")
    return mean, covariance


def holds_points(path: Path) -> bool:
    """Return whether a file is an ``.npz`` of points, as written by ``sample.py``."""
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
        problem = f"{path}: points contain NaN or infinite values"
        raise UserError(problem, None, "use another checkpoint, or remove these rows")
    return points


def _headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Return each array's shape and type by its name, without reading the array, which could contain objects."""
    if not is_file(path):
        raise UserError(f"{path}: no such file", None, LAYOUT)
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if not name.endswith(".npy"):
                    continue
                with archive.open(name) as member:
                    shape, _, dtype = _array_header(member)
                found[name.removesuffix(".npy")] = shape, dtype
    except Exception as error:  # for corrupt files, zipfile and NumPy raise exceptions of many types
        raise UserError(f"{path}: not a readable .npz file ({error})", None, LAYOUT) from None
    return found


def _array_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of an ``.npy``: the shape, whether it is in column-major order, and the type."""
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    return read[version](file)


def _load(path: Path, key: str, headers: dict[str, tuple[tuple[int, ...], np.dtype[Any]]]) -> NDArray[Any]:
    """Read one array if it fits into this machine's memory; compressed, the file may be far smaller than the array."""
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
