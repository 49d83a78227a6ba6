"""Diagnostic pictures of an evaluation contain the right images in the right positions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from saddlepoint.assembly.restore import restore
from saddlepoint.data import DataModule, Digits
from saddlepoint.evaluation import pictures
from saddlepoint.evaluation.sharing import Generated
from saddlepoint.metrics.quantise import quantise


def test_samples_are_made_again_by_their_index(trained: Path) -> None:
    system: Any = restore(trained / "checkpoints" / "last.ckpt", "cpu").system
    wanted = torch.tensor([300, 3, 64, 3, 63])
    images = Generated().images_at(system, seed=5, ema=True)(wanted)
    assert torch.equal(images, quantise(system.sample(301, seed=5))[wanted])
    assert not torch.equal(images[0], images[1])


def test_the_nearest_training_image_is_found() -> None:
    data = DataModule(Digits())
    train = data.arrays("train").samples
    wanted = torch.tensor([0, 700, 1471])
    noisy = (train[wanted].int() + torch.tensor([3, -3]).repeat(32).view(8, 8)).clamp(0, 255).byte()
    assert torch.equal(pictures.nearest_training(noisy, data), train[wanted])


def test_a_run_and_an_evaluation_leave_their_pictures(invoke: Any, tiny: tuple[str, ...], tmp_path: Path) -> None:
    assert invoke("train", *tiny, "run.dir=run").code == 0
    names = {"closest_pairs_classifier", "closest_pairs_pixels", "duplicate_curve_classifier", "duplicate_curve_pixels"}
    drawn = {path.name.rpartition("-")[0] for path in (tmp_path / "run" / "samples").iterdir()}
    assert names | {"class_kl_classifier", "samples"} <= drawn
    outcome = invoke("evaluate", "checkpoint=run", "out=here.jsonl")
    assert outcome.code == 0
    assert {path.stem.removeprefix("here_") for path in tmp_path.glob("here_*.png")} == names | {"class_kl_classifier"}
    assert "support_pixels: " in outcome.out
