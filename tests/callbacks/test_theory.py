"""The plots that compare training with theory: their number and contents."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from saddlepoint.callbacks.history import History
from saddlepoint.callbacks.hopping import Hopping
from saddlepoint.callbacks.theory import DENSITIES, JUDGED, Theory, probability_logits
from saddlepoint.data import Gaussians
from saddlepoint.losses import LeastSquares, Minimax, NonSaturating, Wasserstein
from saddlepoint.metrics.densities import optimal_discriminator
from saddlepoint.systems.game import Game
from saddlepoint.systems.progress import Budget, Progress
from saddlepoint.tracking.local import LocalLogger
from saddlepoint.tracking.record import RunRecord
from saddlepoint.writing import read_json_lines


@pytest.mark.parametrize("layout", ["line", "ring"])
def test_a_run_leaves_its_frames_its_animation_and_two_pictures(play: Any, directory: Path, layout: Any) -> None:
    source, record = Gaussians(layout), RunRecord(directory, [LocalLogger(directory)])
    real = torch.from_numpy(source.open().columns("held_out")["points"])[:500]  # type: ignore[arg-type]
    callbacks = [
        History(record, 1),
        Hopping(record, source.means, source.std, points=200),
        Theory(record, source.means, source.std, real, every_images=640, points=1000),
    ]
    play(callbacks, "data=gaussians", f"data.layout={layout}", "norm=none", "network.width=8", "budget.images=1920")
    pictures = directory / "pictures"
    frames = sorted(pictures.glob("theory-*.png"))
    assert [int(path.stem[-9:]) for path in frames] == [0, 640, 1280, 1920]
    with Image.open(pictures / "theory.gif") as animation, Image.open(frames[0]) as first:
        assert animation.n_frames == 4
        assert animation.size == first.size
    assert {"modes.png", "losses.png"} <= {path.name for path in pictures.iterdir()}

    rows = read_json_lines(directory / "history.jsonl")
    drawn = [row for row in rows if DENSITIES in row]
    assert len(drawn) == 4
    assert all(0 <= row[DENSITIES] <= math.log(2) and math.isfinite(row[JUDGED]) for row in drawn)
    counted = read_json_lines(pictures / "modes.jsonl")
    assert [row["images_seen"] for row in counted] == [0, *range(64, 1921, 64)]  # 30 rounds, fewer than 100 columns
    assert all(len(row["counts"]) == len(source.means) and sum(row["counts"]) <= 200 for row in counted)


@pytest.mark.parametrize("choice", [("loss=wasserstein", "norm=none"), ("network.discriminator.norm=batch",)])
def test_where_d_is_no_probability_of_x_only_the_densities_speak(
    play: Any, directory: Path, choice: tuple[str, ...]
) -> None:
    source, record = Gaussians("line"), RunRecord(directory, [LocalLogger(directory)])
    theory = Theory(record, source.means, source.std, torch.zeros(8, 1), every_images=640, points=500)
    play([theory], "data=gaussians", "data.layout=line", "network.width=8", *choice, "budget.images=640")
    rows = [row for row in read_json_lines(directory / "history.jsonl") if DENSITIES in row]
    assert len(rows) == 2
    assert not any(JUDGED in row for row in rows)


def test_what_a_critic_says_becomes_the_optimum_of_its_loss() -> None:
    """The output that minimises a loss at a point, found by grid search, is converted to D* at this point."""
    p, q = 0.3, 0.9
    best = float(optimal_discriminator(np.array([p]), np.array([q]))[0])
    outputs = torch.linspace(-4, 4, 16_001, dtype=torch.float64)
    softplus = torch.nn.functional.softplus
    likelihood = p * softplus(-outputs) + q * softplus(outputs)
    squares = p * (outputs - 1.5).square() + q * (outputs + 0.5).square()
    for loss, value in (
        (Minimax(), likelihood),
        (NonSaturating(), likelihood),
        (LeastSquares(-0.5, 1.5, 0.0), squares),
    ):
        found = probability_logits(loss)(outputs[value.argmin()]).sigmoid()
        assert float(found) == pytest.approx(best, abs=1e-3)
    for loss in (Wasserstein(), NonSaturating(label_smoothing=0.1), None):
        assert probability_logits(loss) is None


def test_a_resumed_runs_columns_are_its_own(directory: Path) -> None:
    """Counts that a stopped run wrote after its last checkpoint are removed."""
    (directory / "pictures").mkdir()
    path = directory / "pictures" / "modes.jsonl"
    path.write_text("".join(f'{{"images_seen": {seen}, "n": 4, "counts": [1, 2]}}\n' for seen in (0, 64, 128)))
    hopping = Hopping(RunRecord(directory), torch.zeros(2, 1), 1.0, every_images=1000)

    class Trainer:
        is_global_zero = True

    system = Game.__new__(Game)
    torch.nn.Module.__init__(system)
    system.progress, system.budget = Progress(images_seen=64), Budget(images=200)
    hopping.on_train_start(Trainer(), system)  # type: ignore[arg-type]
    assert [row["images_seen"] for row in read_json_lines(path)] == [0, 64]
