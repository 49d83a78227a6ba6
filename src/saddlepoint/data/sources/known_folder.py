"""Folders of images of well-known data sets that have to be obtained by hand."""

from __future__ import annotations

from collections.abc import Sequence

from saddlepoint.data.sources.base import Contents
from saddlepoint.data.sources.image_folder import ImageFolder
from saddlepoint.data.store import status
from saddlepoint.errors import UserError


class KnownFolder(ImageFolder):
    """An :class:`~saddlepoint.data.sources.image_folder.ImageFolder` that says where its files can be obtained.

    Args:
        root: the folder or zip file.
        obtain: where the files are and how they must be arranged, shown as the remedy if ``root`` does not exist.
        labels: see :class:`~saddlepoint.data.sources.image_folder.ImageFolder`.
        ignore: likewise.
    """

    def __init__(self, root: str, obtain: str, labels: str = "folders", ignore: Sequence[str] = ()):
        super().__init__(root, labels, ignore=ignore)
        self.obtain = obtain

    def open(self) -> Contents:
        """See :meth:`Source.open`."""
        if status(self.root) is None:
            raise UserError(f"{self.root}: no such folder or zip file", "root", self.obtain)
        return super().open()
