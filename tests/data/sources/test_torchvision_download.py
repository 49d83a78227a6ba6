"""Failed downloads by torchvision are one line, whatever the type of the error."""

from __future__ import annotations

import io
import pickle
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
            fail()

    with pytest.raises(UserError) as caught:
        download()
    assert str(caught.value) == f"root: files are missing, and the download failed ({reason}); copy them there"
    assert list(tmp_path.iterdir()) == []


def test_one_of_several_downloads_at_a_time(tmp_path: Path) -> None:
    events = []

    def download(name: str) -> None:
        with downloading(tmp_path / "data", "files are missing", "copy them there"):
            events.append(f"{name} begins")
            time.sleep(0.1)
            events.append(f"{name} ends")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(download, "ab"))
    first, second = events[0][0], events[2][0]
    assert events == [f"{first} begins", f"{first} ends", f"{second} begins", f"{second} ends"]
    assert list(tmp_path.iterdir()) == []


def test_user_errors_are_passed_on(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^labels: there are none$"), downloading(tmp_path, "missing", "copy them"):
        raise UserError("there are none", "labels")
