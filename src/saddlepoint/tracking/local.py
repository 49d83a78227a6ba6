"""A Lightning logger that writes a local history as JSON lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only

from saddlepoint.writing import append_json_line


class LocalLogger(Logger):
    """Appends each row of metrics to ``history.jsonl``.

    Args:
        directory: the run's directory.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.path = directory / "history.jsonl"

    @property
    def name(self) -> str:
        """Name of the logger."""
        return "history"

    @property
    def version(self) -> str:
        """Constant, since each run has a single history."""
        return "0"

    @property
    def save_dir(self) -> str:
        """The run's directory."""
        return str(self.path.parent)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a row; NaN and infinities, which JSON does not support, are written as strings."""
        row = {key: value if _is_finite(value) else str(value) for key, value in metrics.items()}
        append_json_line(self.path, row)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing; the hyperparameters are in the run's ``config.yaml``."""


def _is_finite(value: float) -> bool:
    return abs(value) < float("inf")
