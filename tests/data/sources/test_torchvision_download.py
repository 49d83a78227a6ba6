"""Failed downloads by torchvision are one line, whatever the type of the error."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from saddlepoint.data.sources.torchvision_download import downloading
from saddlepoint.errors import UserError


class RetrievalError(Exception):
    """An error like those of gdown, with several lines."""


def refuse() -> None:
    raise RetrievalError("Failed to retrieve file url:\n\n\tToo many users have viewed it.\n")


@pytest.mark.parametrize(
    ("fail", "reason"),
    [
        (refuse, "Too many users have viewed it."),
        (lambda: zipfile.ZipFile(io.BytesIO(b"no archive")), "File is not a zip file"),
        (lambda: pickle.loads(b"no pickle"), "invalid load key, 'n'."),
    ],
)
def test_every_error_is_one_line_and_leaves_no_folder(tmp_path: Path, fail: Callable[[], Any], reason: str) -> None:
    def download() -> None:
        with downloading(tmp_path / "data" / "celeba", "files are missing", "copy them there"):
            (tmp_path / "data" / "celeba").mkdir(parents=True)
            fail()

    with pytest.raises(UserError) as caught:
        download()
    assert str(caught.value) == f"root: files are missing, and the download failed ({reason}); copy them there"
    assert list(tmp_path.iterdir()) == []


def test_user_errors_are_passed_on(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^labels: there are none$"), downloading(tmp_path, "missing", "copy them"):
        raise UserError("there are none", "labels")
