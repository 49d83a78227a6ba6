"""The program for GPUs, run on the CPU: it compares a device with itself, and writes its record."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_checks_run_on_the_cpu(tmp_path: Path) -> None:
    options = ["--device", "cpu", "--parts", "checks", "--models", "dcgan", "--ways", "float32", "--rounds", "1"]
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), *options, "--out", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert ended.returncode == 0, ended.stderr
    (file,) = tmp_path.glob("gpu_*.json")
    record = json.loads(file.read_text())
    found = record["checks"]["dcgan"]
    assert (found["samples"], found["logits"], found["gradient"]) == (0, 0, 0)
    assert found["float32"].keys() == {"discriminator/loss", "generator/loss"}
    assert record["about"]["torch"]


def test_a_missing_gpu_is_one_line() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py")]
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    ended = subprocess.run(command, capture_output=True, text=True, env=hidden)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "no GPU was found; --device cpu runs the same program on the CPU\n"
