"""Fixtures that run commands in real processes, forked from one that has already imported torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm import Cluster, missing
from users import OTHER_GAMES, User


@pytest.fixture(
    params=[name if name == "cyclegan" else pytest.param(name, marks=pytest.mark.slow) for name in OTHER_GAMES]
)
def other_game(user: User, request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The arguments of a model that is no GAN from latents, whose images have been drawn."""
    user.draw_images()
    return (f"model={request.param}", *OTHER_GAMES[request.param], *user.tiny[1:])


@pytest.fixture(scope="session")
def warm() -> Iterator[subprocess.Popen[str]]:
    """The process from which all others are forked."""
    program = [sys.executable, str(Path(__file__).with_name("warm.py"))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def user(tmp_path: Path, warm: subprocess.Popen[str], cache: Path) -> Iterator[User]:
    somebody = User(tmp_path, warm, cache)
    yield somebody
    for process in somebody.started:
        process.kill_all()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """SLURM on this machine; the test is skipped where that is not possible."""
    if reason := missing():
        pytest.skip(reason)
    one = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        one.start()
        yield one
    finally:
        one.stop()


@pytest.fixture(scope="session")
def finished_once(warm: subprocess.Popen[str], cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    somebody = User(tmp_path_factory.mktemp("finished"), warm, cache)
    somebody.finish(*somebody.tiny, *somebody.saves, "run.dir=run")
    return somebody.folder / "run"


@pytest.fixture
def finished(user: User, finished_once: Path) -> Path:
    """A run of 320 images with a last and a previous checkpoint."""
    return Path(shutil.copytree(finished_once, user.folder / "run"))


@pytest.fixture
def faulty(user: User) -> tuple[str, ...]:
    """A plugin with a loss that fails on purpose, as set by ``loss.kind=… loss.at=…``."""
    (user.folder / "faulty.py").write_text(Path(__file__).with_name("faulty_loss.txt").read_text())
    (folder := user.folder / "conf" / "loss").mkdir(parents=True)
    (folder / "faulty.yaml").write_text("_target_: faulty.Faulty\nkind: none\nat: 0\nseed: ${seed}\n")
    return (f"--config-dir={user.folder / 'conf'}", "plugins=[faulty]", "loss=faulty")
