"""A part that cannot be applied to a system's turns is an error in its first turn, and the run's folder is removed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ("model=bigan", "network.units=8", "regularizer=[cr]"),
            "regularizer.cr: CR does not support a critic of pairs; choose another regularizer",
        ),
        (
            (
                "model=dcgan",
                "network.width=4",
                "norm=layer",
                "norm.generator=layer",
                "regularizer=[r1]",
                "regularizer.r1.network=generator",
            ),
            "regularizer.r1.network: R1 acts on the generator, but the critic of this turn is the discriminator; "
            "set it to discriminator",
        ),
    ],
)
def test_nothing_stays(refuse: Callable[..., str], tmp_path: Path, arguments: tuple[str, ...], line: str) -> None:
    small = ("batch_size=16", "budget.images=32", "features=none", "logger=none", "callbacks.samples.n=4")
    assert refuse("train", *arguments, *small, "run.dir=run") == line
    assert not (tmp_path / "run").exists()
