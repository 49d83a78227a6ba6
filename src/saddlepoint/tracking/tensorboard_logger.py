"""TensorBoard, by Lightning's TensorBoardLogger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger

from saddlepoint.tracking.run_logger import RunLogger


class TensorBoardRunLogger(RunLogger):
    """Writes rows and pictures to ``tensorboard/``, over images seen; ``tensorboard --logdir outputs`` shows all runs.

    Args:
        directory: the run's directory.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._logger = self._open()

    def _open(self, **options: Any) -> TensorBoardLogger:
        return TensorBoardLogger(self._directory, name="tensorboard", version="", **options)

    def log(self, row: Mapping[str, float]) -> None:
        """Write a row."""
        values = {key: float(value) for key, value in row.items() if key != "images_seen"}
        self._logger.log_metrics(values, step=int(row["images_seen"]))

    def log_picture(self, key: str, picture: Image.Image, images_seen: int) -> None:
        """Write a picture."""
        pixels = np.asarray(picture.convert("RGB"))
        self._logger.experiment.add_image(key, pixels, images_seen, dataformats="HWC")

    def rewind(self, rows: Sequence[Mapping[str, Any]], images_seen: int) -> None:
        """Continue in a new file of the same folder; TensorBoard then hides what was written after the checkpoint."""
        self._logger = self._open(purge_step=images_seen + 1)

    def finish(self) -> None:
        """Close the file."""
        self._logger.finalize("success")
