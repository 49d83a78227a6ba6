"""Pictures of what an evaluation rests on: the right images, in the right places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from saddlepoint.commands import diagnostics
from saddlepoint.data import DataModule, Digits
from saddlepoint.metrics.quantise import quantise
from saddlepoint.systems.sampling import Sampling


class Identity(Sampling):
    """Samples that are their latents."""

    def __init__(self) -> None:
        super().__init__()
        self.networks, self.seed = {}, 0

    def draw_sample_latents(self, seed: int, start: int, count: int, truncation: float) -> torch.Tensor:
        rows = torch.arange(start, start + count).float() + seed
        return (rows / 500 - 1).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)

    def sample_block(self, latents: torch.Tensor, labels: Any, ema: bool) -> torch.Tensor:
        return latents


def test_samples_are_made_again_by_their_index() -> None:
    system, wanted = Identity(), torch.tensor([700, 3, 64, 3, 63])
    images = diagnostics.generated_at(system, seed=5, ema=True)(wanted)
    assert torch.equal(images, quantise(system.sample(800, seed=5))[wanted])
    assert images[:, 0, 0, 0].tolist() == quantise((wanted + 5) / 500 - 1).tolist()


def test_the_nearest_training_image_is_found() -> None:
    data = DataModule(Digits())
    train = data.arrays("train").samples
    wanted = torch.tensor([0, 700, 1471])
    noisy = (train[wanted].int() + torch.tensor([3, -3]).repeat(32).view(8, 8)).clamp(0, 255).byte()
    assert torch.equal(diagnostics.nearest_training(noisy, data), train[wanted])


def test_a_run_and_an_evaluation_leave_their_pictures(invoke: Any, tiny: tuple[str, ...], tmp_path: Path) -> None:
    assert invoke("train", *tiny, "run.dir=run").code == 0
    names = {"closest_pairs_classifier", "closest_pairs_pixels", "duplicate_curve_classifier", "duplicate_curve_pixels"}
    drawn = {path.name.rpartition("-")[0] for path in (tmp_path / "run" / "samples").iterdir()}
    assert names | {"class_kl_classifier", "samples"} <= drawn
    outcome = invoke("evaluate", "checkpoint=run", "out=here.jsonl")
    assert outcome.code == 0
    assert {path.stem.removeprefix("here_") for path in tmp_path.glob("here_*.png")} == names | {"class_kl_classifier"}
    assert "support_pixels: " in outcome.out
