"""A user of the commands in an empty folder, whose processes are forked from one that has already imported torch."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from same_bits import digest

from saddlepoint.tracking.checkpoints import load
from saddlepoint.writing import read_json_lines

ON_PAIRS = ("data=paired_folder", "data.root=pairs", "data.image_size=8", "data.jitter=2")
ON_DOMAINS = ("data=unpaired_folder", "data.root=domains", "data.image_size=8", "data.jitter=2")
OTHER_GAMES: dict[str, tuple[str, ...]] = {
    "vae": ("network.encoder.hidden=[8]", "network.decoder.hidden=[8]", "model.ema_decay=0.9"),
    "infogan": ("network.width=4", "network.units=16"),
    "bigan": ("network.units=16",),
    "pixelcnn": ("network.hidden=4", "network.layers=2", "network.output_features=8"),
    "row_lstm": ("network.hidden=4", "network.layers=2", "network.output_features=8"),
    "diagonal_bilstm": ("network.hidden=4", "network.layers=2", "network.output_features=8"),
    "aae": ("network.units=16", "model.labels=semi", "model.labelled=20", "model.ema_decay=0.9", "model.noise=0.3"),
    "vaegan": ("network.width=4", "network.units=16", "network.discriminator.units=16", "model.ema_decay=0.9"),
    "lapgan": ("network.levels=2", "network.width=4", "network.units=16", "model.ema_decay=0.9"),
    "gran": ("network.steps=2", "network.width=4", "network.discriminator.width=4", "network.generator.units=8"),
    "sagan": ("network.width=4", "model.ema_decay=0.9"),
    "biggan": ("network.width=4", "model.latent_dim=8", "model.accumulate=2", "model.ema_decay=0.9"),
    "r3gan": ("network.width=8", "network.blocks=1", "model.latent_dim=8"),
    "patchgan": ("network.width=4", "network.generator.width=4", "model.ema_decay=0.9"),
    "progan": (
        *("network.width=4", "model.latent_dim=8", "model.ema_decay=0.9"),
        *("model.stabilise_images=50", "model.fade_images=1000"),
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
    "pix2pix": (*ON_PAIRS, "network.width=4", "network.discriminator.receptive_field=1", "model.ema_decay=0.9"),
    "cyclegan": (
        *ON_DOMAINS,
        "network.width=2",
        "network.generator_ab.blocks=1",
        "network.generator_ba.blocks=1",
        "network.discriminator_a.receptive_field=1",
        "network.discriminator_b.receptive_field=1",
    ),
}
"""Models beside those of test_kills.py, each with settings whose rounds take some milliseconds."""
WAIT = 90.0
"""Timeout in seconds for anything that a process is expected to do."""
AT_ONCE = 3
"""Maximum number of concurrent processes; more would slow down other tests."""


@dataclass
class Process:
    """A running or finished command, in its own session."""

    log: Path
    pid: int = 0

    def code(self) -> int | None:
        """The exit code, negative for a signal that ended the process; None while it runs."""
        return int((self.log / "code").read_text()) if (self.log / "code").exists() else None

    def wait(self, seconds: float = WAIT) -> int:
        """Wait for the end of the process; on a timeout, kill it and fail the test."""
        end = time.monotonic() + seconds
        while (code := self.code()) is None:
            if time.monotonic() > end:
                self.kill_all()
                pytest.fail(f"still running after {seconds:.0f} s\n{self.out}\n{self.err}")
            time.sleep(0.01)
        return code

    def until(self, condition: Callable[[], Any], seconds: float = WAIT, poll: float = 0.001) -> None:
        """Wait until a condition holds while the process runs."""
        end = time.monotonic() + seconds
        while not condition():
            if (code := self.code()) is not None or time.monotonic() > end:
                self.kill_all()
                pytest.fail(f"did not come to it (exit code {code})\n{self.out}\n{self.err}")
            if poll:
                time.sleep(poll)

    def send(self, number: int) -> None:
        """Send a signal to this process."""
        os.kill(self.pid, number)

    def send_group(self, number: int) -> None:
        """Send a signal to this process and its children, as a terminal or a scheduler does."""
        os.killpg(self.pid, number)

    def members(self) -> list[int]:
        """Return the living processes of the run: itself, its ranks, the workers of loaders and W&B's service."""
        found, mark = [], f"SADDLEPOINT_LAUNCHER={self.pid}".encode()
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
                launched = mark in (path.parent / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if (int(session) == self.pid or launched) and state != "Z":
                found.append(int(path.parent.name))
        return found

    def ranks(self) -> dict[int, int]:
        """Return the processes of a run with several devices, by rank."""
        found = {}
        for pid in self.children("saddlepoint.commands"):
            words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            found.update({int(word.removeprefix(b"RANK=")): pid for word in words if word.startswith(b"RANK=")})
        return found

    def children(self, word: str = "") -> list[int]:
        """Return the child processes whose command line contains ``word``."""
        return [pid for pid in self.members() if pid != self.pid and word in _command_line(pid)]

    def no_orphans(self, seconds: float = 30.0) -> bool:
        """Whether all processes of the session end before the timeout."""
        end = time.monotonic() + seconds
        while self.members():
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def kill_all(self) -> None:
        """Kill all processes of the run."""
        for pid in self.members():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    @property
    def out(self) -> str:
        return (self.log / "out").read_text()

    @property
    def err(self) -> str:
        return (self.log / "err").read_text()


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@dataclass
class User:
    """A user in an empty folder, without a W&B account, a network or data."""

    folder: Path
    warm: subprocess.Popen[str]
    cache: Path
    started: list[Process] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    tiny = (
        "network.width=4",
        "batch_size=16",
        "features=none",
        "logger=none",
        "callbacks.samples.n=4",
        "callbacks.history.every_rounds=1",
    )
    """Overrides for a run whose rounds take a few milliseconds and are all logged."""
    long = "budget.images=10_000_000"
    """A budget that no test reaches."""
    saves = ("budget.images=320", "callbacks.checkpoints.every_images=64")

    def draw_images(self) -> None:
        """Draw 24 pairs of 8 px into the folder ``pairs``, and as many images a domain into ``domains``."""
        random = np.random.default_rng(0)
        for folder, width in (("pairs", 16), ("domains/trainA", 8), ("domains/trainB", 8)):
            (self.folder / folder).mkdir(parents=True)
            for index in range(24):
                image = Image.fromarray(random.integers(0, 256, (8, width, 3), dtype=np.uint8))
                image.save(self.folder / folder / f"{index:02d}.png")

    def start(
        self,
        *arguments: str,
        command: str = "train",
        environment: Mapping[str, str] | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> Process:
        """Start a command in a new process."""
        process = Process(self.folder / ".log" / str(next(self.numbers)))
        process.log.mkdir(parents=True)
        order = {
            "command": command,
            "arguments": arguments,
            "folder": str(self.folder),
            "log": str(process.log),
            "environment": {**self.environment(), **(environment or {})},
            "limits": dict(limits or {}),
        }
        assert self.warm.stdin is not None
        self.warm.stdin.write(json.dumps(order) + "\n")
        self.warm.stdin.flush()
        self.started.append(process)
        end = time.monotonic() + WAIT
        while not (process.log / "pid").exists():
            assert time.monotonic() < end, "the process did not start"
            time.sleep(0.001)
        process.pid = int((process.log / "pid").read_text())
        return process

    def run(self, *arguments: str, seconds: float = WAIT, **options: Any) -> Process:
        """Start a command and wait for its end."""
        process = self.start(*arguments, **options)
        process.wait(seconds)
        return process

    def finish(self, *arguments: str, **options: Any) -> Process:
        """Run a command, and check that it succeeds."""
        process = self.run(*arguments, **options)
        assert process.code() == 0, process.out + process.err
        return process

    def is_refused(
        self, cases: Sequence[tuple[str, Sequence[str], str]], held: Mapping[str, str] | None = None
    ) -> None:
        """Check that each command fails with a line that contains ``named``, writes nothing and shows no secret."""
        before = self.files()
        for first in range(0, len(cases), AT_ONCE):
            some = cases[first : first + AT_ONCE]
            started = [self.start(*args, command=command, environment=held) for command, args, _ in some]
            for process, (command, args, named) in zip(started, some, strict=True):
                assert process.wait() == 2, f"{command} {args}\n{process.out}\n{process.err}"
                last = process.err.splitlines()[-1]
                assert last.startswith("error: "), process.err
                assert named in last, f"{command} {args}: {last}"
                assert "Traceback" not in process.out + process.err
                assert not any(secret in process.out + process.err for secret in (held or {}).values())
        assert self.files() == before

    def files(self) -> set[str]:
        """Return all files in the folder, except the output of processes."""
        return {str(path) for path in self.folder.rglob("*") if ".log" not in path.parts}

    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB_", "SADDLEPOINT_"))}
        closed = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
        return {
            **kept,
            **closed,
            "no_proxy": "127.0.0.1",
            "HOME": str(self.folder),
            "XDG_CACHE_HOME": str(self.cache),
            "NETRC": str(self.folder / "no-netrc"),
            "OMP_NUM_THREADS": "1",
        }

    @staticmethod
    def rows(run: Path) -> list[dict[str, Any]]:
        """Return the rows of the history."""
        return read_json_lines(run / "history.jsonl")

    @classmethod
    def rounded(cls, node: Any) -> Any:
        """Round to nine digits, since the last bits of a score depend on the alignment of arrays in memory."""
        if isinstance(node, dict):
            return {key: cls.rounded(value) for key, value in node.items()}
        return float(f"{node:.9g}") if isinstance(node, float) else node

    @staticmethod
    def fingerprint(run: Path, name: str = "last") -> str:
        """Return a hash of the state of training: weights, buffers, optimizers and counters."""
        content = load(run / "checkpoints" / f"{name}.ckpt")
        progress = {key: value for key, value in content["progress"].items() if key != "seconds"}
        return digest([content["state_dict"], content["optimizer_states"], progress])
