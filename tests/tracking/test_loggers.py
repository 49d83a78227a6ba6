"""Loggers that write files, read back by the usual readers of these files."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from saddlepoint.systems.progress import Progress
from saddlepoint.tracking.csv_logger import CSVRunLogger
from saddlepoint.tracking.local import LocalLogger
from saddlepoint.tracking.record import RunRecord
from saddlepoint.tracking.run_logger import RunLogger
from saddlepoint.tracking.tensorboard_logger import TensorBoardRunLogger

LOSSES = {0: 3.0, 64: 2.5, 128: float("nan"), 192: 1.5}


def log_all(record: RunRecord, values: dict[int, float]) -> None:
    for images, loss in values.items():
        more = {"fid": 10.0 / images} if images else {}  # a column that the first row does not have
        record.log(Progress(images_seen=images, generator_updates=images // 64), {"generator/loss": loss, **more})


def resumed(directory: Path, logger: RunLogger, images: int) -> RunRecord:
    """Return a record of a run that is resumed from a checkpoint, as the Resume callback does."""
    record = RunRecord(directory, [LocalLogger(directory), logger])
    nothing = {"best": None, "first": [], "latest": [], "evaluation_seconds": 0.0}
    record.restore(nothing, Progress(images_seen=images))
    return record


def test_csv_holds_the_rows_of_the_history_also_after_a_resume(tmp_path: Path) -> None:
    record = RunRecord(tmp_path, [LocalLogger(tmp_path), CSVRunLogger(tmp_path)])
    log_all(record, LOSSES)
    record.finish()

    def column(name: str) -> list[float]:
        with (tmp_path / "csv" / "metrics.csv").open(newline="") as file:
            return [float(row[name] or "nan") for row in csv.DictReader(file)]

    assert column("images_seen") == column("step") == list(LOSSES)
    np.testing.assert_equal(column("generator/loss"), list(LOSSES.values()))
    np.testing.assert_allclose(column("fid"), [np.nan, 10 / 64, 10 / 128, 10 / 192])

    again = resumed(tmp_path, CSVRunLogger(tmp_path), 64)  # the rows at 128 and 192 were lost
    log_all(again, {128: 7.0, 256: 8.0})
    again.finish()
    assert column("images_seen") == [0, 64, 128, 256]
    assert column("generator/loss") == [3.0, 2.5, 7.0, 8.0]


def test_tensorboard_has_scalars_and_pictures_over_images_seen(tmp_path: Path) -> None:
    record = RunRecord(tmp_path, [LocalLogger(tmp_path), TensorBoardRunLogger(tmp_path)])
    log_all(record, LOSSES)
    record.log_picture(Progress(images_seen=128), "samples", Image.new("L", (5, 4), 255))
    record.finish()

    def read() -> EventAccumulator:
        events = EventAccumulator(str(tmp_path / "tensorboard"))
        events.Reload()
        return events

    scalars = read().Scalars("generator/loss")
    assert [event.step for event in scalars] == list(LOSSES)
    np.testing.assert_equal([event.value for event in scalars], list(LOSSES.values()))
    (picture,) = read().Images("samples")
    assert (picture.step, picture.width, picture.height) == (128, 5, 4)

    again = resumed(tmp_path, TensorBoardRunLogger(tmp_path), 64)
    log_all(again, {128: 7.0, 256: 8.0})
    again.finish()
    assert [(event.step, event.value) for event in read().Scalars("generator/loss")] == [
        (0, 3.0), (64, 2.5), (128, 7.0), (256, 8.0),
    ]  # fmt: skip
