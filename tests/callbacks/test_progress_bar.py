"""The progress bar in terminals of several widths, and its lines in a file."""

from __future__ import annotations

import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from saddlepoint.callbacks.progress_bar import ProgressBar
from saddlepoint.systems.game import Game
from saddlepoint.systems.progress import Budget, Progress
from saddlepoint.tracking.record import RunRecord


class Playing(Game):
    """A system in the middle of a run, as far as the bar looks at it."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)
        self.progress = Progress(images_seen=123_456, seconds=200.0)
        self.budget = Budget(images=400_000)
        self.logs = {"discriminator/loss": torch.tensor(1.386), "generator/loss": torch.tensor(0.693)}
        self.players = dict.fromkeys(("discriminator", "generator"))


def shown(tmp_path: Path, console: Console) -> str:
    record = RunRecord(tmp_path, monitor="fid_classifier")
    for name, value in (("is_classifier", 8.59), ("fid_classifier", 12.34), ("kid_classifier", 0.0021)):
        record.latest[name] = SimpleNamespace(metric=name, value=value)  # type: ignore[assignment]
    bar, system, trainer = ProgressBar(record), Playing(), SimpleNamespace(is_global_zero=True)
    bar.console = console
    bar.on_train_start(trainer, system)  # type: ignore[arg-type]
    system.progress.images_seen, system.progress.seconds = 133_456, 210.0
    bar.on_train_end(trainer, system)  # type: ignore[arg-type]
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_bar_fits_and_shows_what_matters(tmp_path: Path, width: int) -> None:
    text = shown(tmp_path, Console(file=io.StringIO(), width=width, force_terminal=True))
    line = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "\n").splitlines()[-1]
    for part in ("1,000/s", "D 1.386 G 0.693", "fid_classifier 12.3"):
        assert part in line
    assert re.search(r" left (-:--:--|\d:\d\d:\d\d)$", line.rstrip())
    assert "…" not in line
    assert len(line.rstrip()) <= width
    assert ("133,456 images" in line) == (width >= 120)
    assert ("kid_classifier 0.0021" in line) == (width == 200)


def test_a_line_in_a_file_has_everything(tmp_path: Path) -> None:
    lines = shown(tmp_path, Console(file=io.StringIO(), width=80)).splitlines()
    assert lines == [
        " 33% 133,456 images  1,000/s  D 1.386 G 0.693  fid_classifier 12.3  is_classifier 8.59  kid_classifier 0.0021"
    ]


def test_lines_into_a_file_are_a_minute_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now: list[float] = [0.0]
    monkeypatch.setattr("saddlepoint.callbacks.progress_bar.time.monotonic", lambda: now[0])
    bar, system = ProgressBar(RunRecord(tmp_path)), Playing()
    bar.console = Console(file=io.StringIO(), width=80)
    trainer: Any = SimpleNamespace(is_global_zero=True)
    bar.on_train_start(trainer, system)
    for second in range(1, 181):
        now[0] = float(second)
        bar.on_train_batch_end(trainer, system)
    assert isinstance(bar.console.file, io.StringIO)
    assert len(bar.console.file.getvalue().splitlines()) == 3
