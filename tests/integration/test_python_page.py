"""The blocks of docs/python.md as one program in a fresh interpreter; what they leave and compute."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import scipy.linalg

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text()
RUNS = {"dcgan": 3200, "r1": 640, "vae": 10_000, "latent": 1000, "pix2pix": 120}

AFTERWARDS = """
import json
from hydra.core.global_hydra import GlobalHydra

json.dump({
    "hydra": GlobalHydra.instance().is_initialized(),
    "message": message,
    "table": torch.equal(images[32:], rest),
    "ends": [float((interpolation[i] - reconstructions[j]).abs().max()) for i, j in ((0, 0), (-1, 1))],
    "shapes": {name: list(globals()[name].shape) for name in "images codes interpolation decoded targets".split()},
    "range": [float(targets.min()), float(targets.max())],
    "bound": float(bound),
    "counts": {name: card.n for name, card in cards.items()},
    "seconds": [run.record.latest["fid_random"].images_seen, second.record.latest["fid_random"].images_seen],
    "same": list(same),
    "figures": figures,
}, open("found.json", "w"))
np.savez("rows.npz", real=digits[:500].flatten(1), fake=torch.cat([
    dcgan.sample(100, seed=2, start=100 * i).flatten(1) for i in range(5)
]))
"""


def test_the_page_runs_from_top_to_bottom(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "page.py").write_text("\n\n".join([*blocks, AFTERWARDS]))
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB_", "SADDLEPOINT_"))}
    environment |= {"PYTHONPATH": str(ROOT / "src"), "XDG_CACHE_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "page.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == sorted(RUNS)
    for name, images in RUNS.items():
        summary = json.loads((tmp_path / "runs" / name / "summary.json").read_text())
        assert summary["images_seen"] == images
    assert (tmp_path / "runs" / "latent" / "encoder.ckpt").is_file()
    assert not (tmp_path / "outputs").exists()
    check(json.loads((tmp_path / "found.json").read_text()), dict(np.load(tmp_path / "rows.npz")))


def check(found: dict, rows: dict[str, np.ndarray]) -> None:
    assert found["hydra"] is False
    assert found["message"].startswith("model: unknown choice 'dcgna'; did you mean 'dcgan'?")
    assert found["table"]
    assert max(found["ends"]) < 1e-5
    assert found["shapes"] == {
        "images": [64, 1, 8, 8],
        "codes": [2, 20],
        "interpolation": [7, 1, 8, 8],
        "decoded": [4, 1, 8, 8],
        "targets": [1, 1, 32, 32],
    }
    assert -1 <= found["range"][0] < found["range"][1] <= 1
    assert -64 * np.log(256) < found["bound"] < 0  # a Bernoulli bound of 64 pixels
    assert found["counts"]["fid_random"] == 500
    assert found["seconds"] == [3200, 640]
    assert found["same"] == ["fid_random"]
    real, fake = (rows[name].astype(np.float64) for name in ("real", "fake"))
    root = scipy.linalg.sqrtm(np.cov(real.T) @ np.cov(fake.T) + 0j).real
    distance = ((real.mean(0) - fake.mean(0)) ** 2).sum() + np.trace(np.cov(real.T) + np.cov(fake.T) - 2 * root)
    np.testing.assert_allclose(found["figures"]["frechet"], distance, rtol=1e-3)
    assert 0 <= found["figures"]["coverage"] <= 1
