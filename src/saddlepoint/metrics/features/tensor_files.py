"""Reading files of weights without running code that they may contain."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from saddlepoint.errors import UserError


def plain_tensors(data: bytes) -> dict[str, Tensor]:
    """Return the tensors of a ``.pth`` file by name.

    Raises:
        Exception: the file contains anything else, or cannot be read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about archives of TorchScript, which are then refused
        weights = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return {str(name): torch.as_tensor(tensor) for name, tensor in weights.items()}


def rewritten(tensors: Mapping[str, Tensor]) -> io.BytesIO:
    """Return a new file of tensors, for torch-fidelity, which unpickles its input."""
    file = io.BytesIO()
    torch.save(dict(tensors), file)
    file.seek(0)
    return file


@contextmanager
def refused(wanted: str) -> Iterator[None]:
    """Return a context in which any error means that a file does not contain what is wanted.

    Raises:
        UserError: in place of the error.
    """
    try:
        yield
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"not {wanted} ({first})", "weights") from error
