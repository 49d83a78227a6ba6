"""The experiment in one dimension reaches the equilibrium p_g = p_data, D = 1/2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import norm

from saddlepoint.assembly.restore import find, restore
from saddlepoint.writing import read_json_lines

MEANS, STD = np.arange(-4, 5, 2), 0.5


@pytest.mark.slow
def test_line_reaches_the_equilibrium(invoke: Any, tmp_path: Path) -> None:
    outcome = invoke("train", "experiment=theory/line", "logger=none", "run.dir=run")
    assert outcome.code == 0, outcome.err
    rows = [row for row in read_json_lines(tmp_path / "run" / "history.jsonl") if "theory/js_densities" in row]
    assert len(rows) == 11
    assert rows[0]["theory/js_densities"] > 0.2
    assert rows[-1]["theory/js_densities"] <= 0.02

    system = restore(find(str(tmp_path / "run" / "checkpoints" / "last.ckpt")), "cpu", []).system
    samples = system.sample(50_000, seed=1, ema=False).numpy().ravel()
    edges = np.linspace(-7, 7, 141)
    mass = np.diff(norm.cdf((edges[:, None] - MEANS) / STD).mean(1))
    found = np.histogram(samples, edges)[0] / len(samples)
    assert jensenshannon(mass, found) ** 2 <= 0.02

    centres = ((edges[1:] + edges[:-1]) / 2)[mass > 0.05 * mass.max()]
    with torch.no_grad():
        points = torch.from_numpy(centres[:, None]).float()
        judged = system.networks["discriminator"](points, None).logits.sigmoid().numpy()
    assert np.abs(judged - 0.5).max() < 0.06
