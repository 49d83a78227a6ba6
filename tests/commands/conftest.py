"""Fixtures that run whole commands in this process, which saves the time of importing torch."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import torch
import wandb
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from PIL import Image

from saddlepoint.commands import sweep
from saddlepoint.commands.main import main

CLOSED = "http://127.0.0.1:9"
"""A proxy that refuses connections, so that no test can use the network."""


@dataclass(frozen=True)
class Outcome:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


class Invoke(Protocol):
    def __call__(self, command: str | None, *arguments: str) -> Outcome: ...


def invoke_command(command: str | None, *arguments: str) -> Outcome:
    out, err, code = io.StringIO(), io.StringIO(), 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main(command, arguments)
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None
        sweep._sweep_directory = None
    assert wandb.run is None, "a W&B run was left open"
    return Outcome(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def user(folder: Path, cache: Path) -> Iterator[Invoke]:
    """An empty working directory, without a W&B account, network or data; global state is restored afterwards."""
    handlers, level, argv = logging.root.handlers[:], logging.root.level, sys.argv
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.setenv("TORCH_HOME", str(cache / "torch"))
        patch.setenv("NETRC", str(folder / "no-netrc"))
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            patch.setenv(name, CLOSED)
        for name in [name for name in os.environ if name.startswith(("WANDB_", "SADDLEPOINT_"))]:
            patch.delenv(name)
        for name in ("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "HYDRA_FULL_ERROR"):
            patch.setenv(name, "1")  # set by the command; unset again after the test
        try:
            yield invoke_command
        finally:
            sys.argv = argv
            logging.root.handlers[:] = handlers
            logging.root.setLevel(level)


@pytest.fixture(scope="session")
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache shared by all tests of this folder, so that the classifier for digits is trained once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def invoke(tmp_path: Path, cache_home: Path) -> Iterator[Invoke]:
    """Return a function that runs commands in ``tmp_path``."""
    with user(tmp_path, cache_home) as run:
        yield run


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    """Overrides for a run of five batches on digits, of which the last is partial; takes about a second."""
    return ("network.width=8", "budget.images=300", "batch_size=64", "callbacks.scores.n=64", "callbacks.samples.n=4")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, cache_home: Path, tiny: tuple[str, ...]) -> Path:
    """The run directory of a tiny DCGAN on digits; tests must not change it."""
    folder = tmp_path_factory.mktemp("trained")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with user(folder, cache_home) as run:
        outcome = run("train", *tiny, "run.dir=run")
    torch.set_num_threads(threads)
    assert outcome.code == 0, outcome.err
    return folder / "run"


def inspect_record(run: Path) -> list[dict[str, Any]]:
    """Return the records of the offline W&B run in a run's folder."""
    (record,) = (run / "wandb").glob("offline-run-*")
    asked = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(record)]
    lines = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="session")
def inspect() -> Callable[[Path], list[dict[str, Any]]]:
    """Return a function that returns the records of the offline W&B run in a run's folder."""
    return inspect_record


OTHER_GAMES: dict[str, tuple[str, ...]] = {
    "vae": ("network.encoder.hidden=[8]", "network.decoder.hidden=[8]"),
    "infogan": ("network.width=4", "network.units=16"),
    "bigan": ("network.units=16",),
    "pixelcnn": ("network.hidden=4", "network.layers=2", "network.output_features=8"),
    "row_lstm": ("network.hidden=4", "network.layers=2", "network.output_features=8"),
    "diagonal_bilstm": ("network.hidden=4", "network.layers=2", "network.output_features=8"),
    "aae": ("network.units=16", "model.labels=semi", "model.labelled=20", "model.latent_dim=3", "model.noise=0.3"),
    "vaegan": ("network.width=4", "network.units=16", "network.discriminator.units=16"),
    "lapgan": ("network.levels=2", "network.width=4", "network.units=16", "model.training=together"),
    "gran": ("network.steps=2", "network.width=4", "network.discriminator.width=4", "network.generator.units=8"),
    "sagan": ("network.width=4",),
    "biggan": ("network.width=4", "model.latent_dim=8", "model.accumulate=2"),
    "r3gan": ("network.width=8", "network.blocks=1", "model.latent_dim=8"),
    "patchgan": ("network.width=4", "network.generator.width=4"),
    "progan": (
        *("network.width=4", "model.latent_dim=8", "model.ema_decay=0.9"),
        *("model.stabilise_images=8", "model.fade_images=8"),
    ),
    "stylegan2": (
        *("network.width=4", "network.style_dim=8", "network.mapping_layers=2"),
        *("model.latent_dim=8", "model.ema_decay=0.9"),
    ),
    "transgan": (
        "network.heads=1",
        "network.generator.width=4",
        "network.generator.depths=[1]",
        "network.discriminator.width=4",
    ),
    "gansformer": ("network.width=8", "network.mapping_layers=2", "network.generator.latents=3", "model.latent_dim=16"),
    "vitgan": ("network.heads=2", "network.width=8", "network.depth=1"),
    "pix2pix": (
        *("data=paired_folder", "data.root=pairs", "data.image_size=8", "data.jitter=2"),
        *("network.width=4", "network.discriminator.receptive_field=1"),
    ),
    "cyclegan": (
        *("data=unpaired_folder", "data.root=domains", "data.image_size=8", "data.jitter=2", "network.width=2"),
        *(f"network.generator_{way}.blocks=1" for way in ("ab", "ba")),
        *(f"network.discriminator_{domain}.receptive_field=1" for domain in ("a", "b")),
    ),
}
"""Models whose game or networks are not DCGAN's, with settings for runs of a second."""
SLOW = (
    *("infogan", "bigan", "aae", "vaegan", "lapgan", "gran", "progan", "stylegan2", "gansformer", "transgan"),
    *("vitgan", "row_lstm", "diagonal_bilstm", "sagan", "biggan", "r3gan", "patchgan"),
)
OF_OTHER_GAMES = ("batch_size=8", "budget.images=24", "features=random", "logger=none", "callbacks.samples.n=6")


def draw_images(folder: Path) -> None:
    """Draw pairs of 8 px into the folder ``pairs``, and images of two domains into ``domains``."""
    random = np.random.default_rng(0)
    for split, number in (("train", 12), ("test", 8)):
        for name, width in ((f"pairs/{split}", 16), (f"domains/{split}A", 8), (f"domains/{split}B", 8)):
            (folder / name).mkdir(parents=True)
            for index in range(number):
                image = Image.fromarray(random.integers(0, 256, (8, width, 3), dtype=np.uint8))
                image.save(folder / name / f"{index:02d}.png")


@pytest.fixture
def other_games() -> dict[str, tuple[str, ...]]:
    """The settings of :data:`OTHER_GAMES`."""
    return OTHER_GAMES


@pytest.fixture
def drawn(tmp_path: Path) -> None:
    """Images in ``pairs`` and ``domains``."""
    draw_images(tmp_path)


@pytest.fixture(
    scope="session",
    params=[pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in OTHER_GAMES],
)
def other_game(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, cache_home: Path) -> Path:
    """The run directory of a tiny model that is no GAN from latents, named after it, beside its images."""
    folder, model = tmp_path_factory.mktemp("other"), request.param
    draw_images(folder)
    with user(folder, cache_home) as run:
        options = (*OF_OTHER_GAMES, "callbacks.scores.n=8", "callbacks.scores.splits=1")
        outcome = run("train", f"model={model}", *OTHER_GAMES[model], *options, f"run.dir={model}")
    assert outcome.code == 0, outcome.err
    return folder / model


PROGRESS = re.compile(r"\s*$|classifier on |Looking at images|Decoding images|W&B: ")
"""Lines that may precede the error on stderr."""


def mistake(outcome: Outcome) -> str:
    """Check that the command failed with exit code 2 and a single line of error, and return this line."""
    assert outcome.code == 2, outcome.err
    *before, last = outcome.err.splitlines()
    assert last.startswith("error: ")
    assert all(PROGRESS.match(line) for line in before), outcome.err
    assert "Traceback" not in outcome.err + outcome.out
    return last.removeprefix("error: ")


@pytest.fixture
def refuse(invoke: Invoke, tmp_path: Path) -> Callable[..., str]:
    """Return a function that runs an invalid command, checks that nothing is written and returns the error."""

    def run(command: str | None, *arguments: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        line = mistake(invoke(command, *arguments))
        assert sorted(tmp_path.rglob("*")) == before
        return line

    return run
