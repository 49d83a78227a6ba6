"""The local history of a run, as JSON lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from saddlepoint.tracking.run_logger import RunLogger
from saddlepoint.writing import append_json_line


class LocalLogger(RunLogger):
    """Appends each row to ``history.jsonl``.

    :class:`~saddlepoint.tracking.record.RunRecord` removes rows from it when a run is resumed, and saves pictures.

    Args:
        directory: the run's directory.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / "history.jsonl"

    def log(self, row: Mapping[str, float]) -> None:
        """Append a row; NaN and infinities, which JSON does not support, are written as strings."""
        append_json_line(self.path, {key: value if _is_finite(value) else str(value) for key, value in row.items()})


def _is_finite(value: float) -> bool:
    return abs(value) < float("inf")
