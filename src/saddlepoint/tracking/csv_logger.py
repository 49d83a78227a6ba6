"""The history of a run as a CSV file, by Lightning's CSVLogger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger

from saddlepoint.tracking.run_logger import RunLogger


class CSVRunLogger(RunLogger):
    """Writes each row to ``csv/metrics.csv``, with one column per name, and an empty cell where a row has no value.

    Args:
        directory: the run's directory.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / "csv" / "metrics.csv"
        self._logger = CSVLogger(directory, name="csv", version="", flush_logs_every_n_steps=1)

    def log(self, row: Mapping[str, float]) -> None:
        """Append a row; the file is rewritten if the row has a new column. The column ``step`` is ``images_seen``."""
        self._logger.log_metrics(dict(row), step=int(row["images_seen"]))

    def rewind(self, rows: Sequence[Mapping[str, Any]], images_seen: int) -> None:
        """Write the file again from the rows before the checkpoint, since Lightning's logger begins a new file."""
        self.path.unlink(missing_ok=True)
        for row in rows:
            self.log(row)

    def finish(self) -> None:
        """Write rows that have not been written."""
        self._logger.finalize("success")
