"""The interface of the loggers of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image


class RunLogger:
    """Writes what a run records: rows of numbers, pictures and messages.

    Subclasses must implement :meth:`log`; the other methods do nothing unless they are overridden.

    Attributes:
        run_id: the id with which a service continues the run when it is resumed; None for files.
    """

    run_id: str | None = None

    def log(self, row: Mapping[str, float]) -> None:
        """Write a row of numbers.

        Args:
            row: ``images_seen``, ``generator_updates`` and ``seconds``, and the values of that moment by name.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement log()")

    def log_picture(self, key: str, picture: Image.Image, images_seen: int) -> None:
        """Write a picture."""

    def log_animation(self, key: str, path: Path, images_seen: int) -> None:
        """Write a GIF file."""

    def log_files(self, kind: str, paths: Sequence[Path], alias: str, about: Mapping[str, Any]) -> None:
        """Store files as an artifact.

        Args:
            kind: what the files are, such as ``checkpoint``.
            paths: the files.
            alias: which of the run's artifacts of this kind it is, such as ``best``.
            about: a description, as plain containers.
        """

    def alert(self, title: str, text: str) -> None:
        """Send a warning to the user."""

    def rewind(self, rows: Sequence[Mapping[str, Any]], images_seen: int) -> None:
        """Continue a resumed run.

        Args:
            rows: the rows that were written before the checkpoint.
            images_seen: the run's progress at the checkpoint; whatever was written after it is to be discarded.
        """

    def finish(self) -> None:
        """Write what is left, and close files and connections."""
