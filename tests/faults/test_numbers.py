"""NaN and divergence: saved weights stay finite, and the run reports the problem."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from saddlepoint.tracking.checkpoints import load

SAVES = "callbacks.checkpoints.every_images=32"
RANKS = ("trainer=ddp", "trainer.accelerator=cpu")


def assert_finite(run: Path) -> int:
    checkpoint = load(run / "checkpoints" / "last.ckpt")
    for key, value in checkpoint["state_dict"].items():
        assert torch.isfinite(value.float()).all(), key
    return int(checkpoint["progress"]["rounds"])


@pytest.mark.parametrize("kind", ["poison", pytest.param("poisoned gradient", marks=pytest.mark.slow)])
def test_a_poisoned_step_is_not_taken(user: Any, faulty: tuple[str, ...], kind: str) -> None:
    process = user.run(*faulty, *user.tiny, f"loss.kind={kind}", "loss.at=8", SAVES, "run.dir=run")
    assert process.code() == 1
    kept = "the last finite checkpoint is run/checkpoints/last.ckpt"
    assert process.err.splitlines()[-1].startswith(
        f"error: training diverged: the discriminator's loss or gradient is not finite; {kept}; lower optimizer."
    )
    assert "Traceback" not in process.err
    assert assert_finite(user.folder / "run") == 6


@pytest.mark.slow
def test_a_step_poisoned_on_one_rank_stops_both(user: Any, faulty: tuple[str, ...]) -> None:
    command = (*faulty, *user.tiny, *RANKS, "loss.kind=poison on rank 1", "loss.at=8", "run.dir=run")
    process = user.run(*command, "callbacks.checkpoints.every_images=64", environment={"PYTHONPATH": str(user.folder)})
    assert process.code() == 1
    assert process.no_orphans()
    errors = [line for line in process.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, "one rank speaks for all"
    assert "the last finite checkpoint is run/checkpoints/last.ckpt" in errors[0]
    assert assert_finite(user.folder / "run") == 6


@pytest.mark.slow
@pytest.mark.parametrize("model", ["dcgan", "wgan_gp"])
def test_a_learning_rate_of_ten(user: Any, model: str) -> None:
    """The run fails, or ends at its budget with an alarm; its checkpoints are finite."""
    rates = ("optimizer.generator.lr=10", "optimizer.discriminator.lr=10")
    small = ("network.generator.width=4",) if model == "wgan_gp" else ()
    process = user.run(f"model={model}", *user.tiny, *small, *rates, SAVES, "budget.images=3200", "run.dir=run")
    assert (process.code(), "error: training diverged" in process.err) in ((1, True), (0, False))
    assert process.code() == 1 or "alarm, divergence" in process.err
    if "there is no checkpoint yet" not in process.err:
        assert_finite(user.folder / "run")
