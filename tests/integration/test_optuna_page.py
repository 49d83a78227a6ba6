"""The example of docs/sweeps.md in a fresh interpreter, stopped after one trial and started again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

optuna = pytest.importorskip("optuna", reason="optuna is not installed")
ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_study_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    (block,) = re.findall(r"```python\n(import optuna.*?)```", (ROOT / "docs" / "sweeps.md").read_text(), re.DOTALL)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB_", "SADDLEPOINT_"))}
    environment |= {"PYTHONPATH": str(ROOT / "src"), "XDG_CACHE_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    for trials in (1, 2):
        (tmp_path / "page.py").write_text(block.replace("TRIALS = 20", f"TRIALS = {trials}").replace("5000", "300"))
        done = subprocess.run(
            [sys.executable, "page.py"],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        study = optuna.load_study(study_name="dcgan", storage=f"sqlite:///{tmp_path}/study.db")
        assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * trials
        assert str(study.best_value) in done.stdout
    assert len(list((tmp_path / "outputs").iterdir())) == 2
