"""The worked examples of docs/extending.md that need separate processes; tests/commands runs the others."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text()
SMALL = ["features=random", "budget.images=320", "callbacks.scores.n=32", "callbacks.samples.n=4", "logger=none"]


def examples() -> dict[str, str]:
    """Return the files shown on the page, by path."""
    blocks = re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)
    return dict(blocks)


def train(folder: Path, path: Path, *arguments: str) -> dict:
    """Train in a separate process, and return the checkpoint."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(path), str(ROOT / "src")]),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "saddlepoint.commands", "train", *arguments, *SMALL, "run.dir=run"]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    return torch.load(folder / "run" / "checkpoints" / "last.ckpt", weights_only=True)


def write(files: dict[str, str], folder: Path) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.slow
def test_a_system_from_a_package_of_ones_own(tmp_path: Path) -> None:
    write(examples() | {"mypackage/__init__.py": ""}, tmp_path)
    checkpoint = train(tmp_path, tmp_path, "--config-dir=myconf", "plugins=[mypackage]", "model=eager")
    assert checkpoint["progress"]["images_seen"] == 320
    assert checkpoint["progress"]["generator_updates"] == 10  # twice 320 / 64


@pytest.mark.slow
def test_inside_the_project_a_part_is_its_file_and_its_yaml(tmp_path: Path) -> None:
    """In a copy of the project, to which only the new files are added."""
    shutil.copytree(
        ROOT / "src" / "saddlepoint", tmp_path / "saddlepoint", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(ROOT / "conf", tmp_path / "saddlepoint" / "conf")
    places = {"squared_hinge": "losses", "score_drift": "regularizers", "linear": "networks", "eager": "systems"}
    inside = {}
    for name, text in examples().items():
        stem = Path(name).stem
        for part, package in places.items():
            text = text.replace(f"mypackage.{part}.", f"saddlepoint.{package}.")
        if name.startswith("mypackage/"):
            inside[f"saddlepoint/{places[stem]}/{stem}.py"] = text
        else:
            inside[name.replace("myconf/", "saddlepoint/conf/")] = text
    write(inside, tmp_path)
    checkpoint = train(tmp_path, tmp_path, "model=mine")
    assert checkpoint["saddlepoint"]["config"]["loss"]["_target_"] == "saddlepoint.losses.SquaredHinge"
    assert checkpoint["progress"]["images_seen"] == 320
    shutil.rmtree(tmp_path / "run")
    checkpoint = train(tmp_path, tmp_path, "model=eager")
    assert checkpoint["saddlepoint"]["config"]["model"]["_target_"] == "saddlepoint.systems.EagerGAN"
