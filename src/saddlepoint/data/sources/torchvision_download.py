"""Downloads by torchvision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from saddlepoint.data.store import leaving_no_empty_folders
from saddlepoint.errors import UserError
from saddlepoint.writing import locked


@contextmanager
def downloading(folder: Path, missing: str, remedy: str) -> Iterator[None]:
    """Convert the errors of a download by torchvision to one line, and remove folders that it leaves empty.

    One process at a time downloads to a folder, and the others then find the files there.

    Args:
        folder: where the files are stored.
        missing: says which files are missing, and where.
        remedy: what the user should do instead.

    Raises:
        UserError: the download failed.
    """
    try:
        with leaving_no_empty_folders(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder):
                yield
    except UserError:
        raise
    except Exception as error:  # of many types: of the network, the disk, gdown, or a damaged file
        reason = str(error).strip().splitlines()[-1].strip() if str(error).strip() else type(error).__name__
        raise UserError(f"{missing}, and the download failed ({reason})", "root", remedy) from None
