"""The wheel works without the checkout, and the source distribution builds the same wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="hatchling is not installed")

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Installed:
    """An environment into which the wheel is installed, and an empty folder in which its commands run."""

    python: Path
    folder: Path

    def run(self, *command: str) -> str:
        """Run a program of the environment, check that it succeeds, and return what it printed to stdout."""
        hidden = ("WANDB_", "SADDLEPOINT_", "PYTHON")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        environment |= {"HOME": str(self.folder), "NETRC": str(self.folder / "netrc"), "OMP_NUM_THREADS": "1"}
        environment["XDG_CACHE_HOME"] = str(self.folder / "cache")
        program = [str(self.python.with_name(command[0])), *command[1:]]
        done = subprocess.run(program, cwd=self.folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def build(project: Path, target: str, folder: Path) -> Path:
    """Build the wheel or the source distribution of a project; nothing is downloaded."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    (made,) = folder.iterdir()
    return made


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The dependencies are those of this environment. Its own .pth file, which names the checkout, is not read."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    python = folder / "env" / "bin" / "python"
    install = ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), *install], check=True)
    (own,) = (folder / "env" / "lib").glob("python*/site-packages")
    (own / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    (folder / "work").mkdir()
    return Installed(python, folder / "work")


def test_the_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build(ROOT, "sdist", tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    again = build(source, "wheel", tmp_path / "again")
    assert again.name == wheel.name
    assert contents(again) == contents(wheel)
    tracked = subprocess.run(["git", "ls-files", "src", "conf"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = {f"saddlepoint/{name.removeprefix('src/saddlepoint/')}" for name in tracked.stdout.split()}
    assert {name for name in contents(wheel) if ".dist-info/" not in name} == names


@pytest.mark.parametrize("command", ["train", "evaluate", "sample", "report", "explore"])
def test_help_is_that_of_the_checkout(command: str, installed: Installed) -> None:
    here = subprocess.run(
        [sys.executable, ROOT / f"{command}.py", "--help"], capture_output=True, text=True, check=True
    )
    assert installed.run("saddlepoint", command, "--help") == here.stdout
    assert f"saddlepoint {command} key=value" in here.stdout


def test_train_sample_evaluate_and_report(installed: Installed) -> None:
    where = installed.run("python", "-c", "import saddlepoint; print(saddlepoint.__file__)")
    assert Path(where.strip()).is_relative_to(installed.python.parents[1])
    tiny = ("network.width=8", "budget.images=128", "batch_size=64", "callbacks.scores.n=64", "features=random")
    trained = installed.run("saddlepoint", "train", *tiny, "run.dir=outputs/run")
    assert "sample from it:  saddlepoint sample checkpoint=outputs/run/" in trained
    installed.run("saddlepoint", "sample", "checkpoint=outputs/run", "n=4", "out=samples")
    assert "fid_random" in installed.run("saddlepoint", "evaluate", "checkpoint=outputs/run")
    installed.run("saddlepoint", "report", "runs=outputs")
    assert {path.name for path in installed.folder.iterdir()} >= {"outputs", "samples", "report.html"}
