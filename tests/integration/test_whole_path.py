"""The three commands in separate processes, in an empty folder, without a W&B account and without a network."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from saddlepoint import __version__
from saddlepoint.assembly.restore import find, restore
from saddlepoint.metrics.cards import ScoreCard, short
from saddlepoint.metrics.quantise import quantise
from saddlepoint.tracking import pictures

ROOT = Path(__file__).parents[2]
IMAGES = 600


@dataclass(frozen=True)
class User:
    """A user with a working directory."""

    folder: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run ``python train.py …`` or another command, and check that it succeeds."""
        program = [sys.executable, str(ROOT / command[0])] if command[0].endswith(".py") else [command[0]]
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("WANDB_", "SADDLEPOINT_"))
        }
        environment |= {
            "HOME": str(self.folder),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "NETRC": str(self.folder / "no-netrc"),
            "OMP_NUM_THREADS": "1",
        }
        environment |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
        done = subprocess.run(
            [*program, *command[1:]], cwd=self.folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done


@dataclass(frozen=True)
class Run:
    """A finished run."""

    user: User
    directory: Path
    out: str
    err: str

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.directory / name).read_text().splitlines()]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    user = User(tmp_path_factory.mktemp("user"))
    tiny = ["network.width=8", f"budget.images={IMAGES}", "batch_size=64", "callbacks.scores.n=64"]
    done = user.run("train.py", *tiny, "callbacks.samples.n=9", "callbacks.history.every_rounds=2")
    (directory,) = (user.folder / "outputs").iterdir()
    return Run(user, directory, done.stdout, done.stderr)


def test_a_run_directory_holds_what_it_should(run: Run) -> None:
    assert run.directory.name.endswith("_dcgan_digits_seed0")
    names = {path.relative_to(run.directory).as_posix() for path in run.directory.rglob("*") if path.is_file()}
    assert {
        "config.yaml",
        "scores.jsonl",
        "history.jsonl",
        "summary.json",
        "checkpoints/last.ckpt",
        "checkpoints/last.ckpt.sha256",
        "checkpoints/best.ckpt",
        "checkpoints/best.ckpt.sha256",
        "samples/samples-000000000.png",
        f"samples/samples-{IMAGES:09d}.png",
    } <= names
    assert any(name.startswith("wandb/offline-run-") for name in names)
    assert {path.name for path in run.user.folder.iterdir() if not path.name.startswith(".")} == {"outputs", "cache"}


def test_the_config_is_whole_and_says_what_was_chosen(run: Run) -> None:
    config = OmegaConf.to_container(OmegaConf.load(run.directory / "config.yaml"), resolve=True)
    assert isinstance(config, dict)
    assert config["budget"]["images"] == IMAGES
    expected = {
        "_target_": "saddlepoint.networks.DCGANGenerator",
        "shape": [1, 8, 8],
        "latent_dim": 100,
        "width": 8,
        "norm": "batch",
        "num_classes": 10,
    }
    assert expected.items() <= config["network"]["generator"].items()
    chosen = {"model": "dcgan", "data": "digits", "network": "dcgan", "loss": "nonsaturating", "features": "classifier"}
    assert chosen.items() <= config["choices"].items()


def test_every_score_has_its_card(run: Run) -> None:
    rows = run.lines("scores.jsonl")
    metrics = {"fid_classifier", "is_classifier", "kid_classifier", "duplicates_classifier", "duplicates_pixels"}
    seen = sorted({row["images_seen"] for row in rows})
    for images in seen:
        named = [row["metric"] for row in rows if row["images_seen"] == images]
        assert metrics <= set(named)
        assert len(named) == len(set(named))
    assert seen[0] == 0
    assert seen[-1] == IMAGES
    for row in rows:
        ScoreCard.from_json(json.dumps(row))
        assert (row["n"], row["seed"], row["ema"]) == (64, 0, True)
        in_pixels = row["metric"].endswith("_pixels") or row["metric"] == "sharpness_gap"
        assert row["features"] == ("pixels" if in_pixels else "classifier")
        assert row["reference"].startswith("digits/train:1472@")
        assert row["generator_updates"] == -(-row["images_seen"] // 64)
        assert row["real"] is not None


def test_the_offline_record_of_wandb_is_the_history(run: Run) -> None:
    (record,) = (run.directory / "wandb").glob("offline-run-*")
    asked = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(record)]
    lines = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    records = [json.loads(line) for line in lines]
    items = [entry["history"]["item"] for entry in records if entry["type"] == "history"]
    named = [{k: v for k, v in item.items() if not k.startswith("_")} for item in items]
    rows = [item for item in named if not any(key.endswith(".path") for key in item)]
    assert rows == run.lines("history.jsonl")
    axis = [entry["metric"].get("step_metric") for entry in records if entry["type"] == "metric"]
    assert "images_seen" in axis

    key = "pictures/samples.path"
    pictures_logged = {item["images_seen"]: item[key] for item in items if key in item}
    saved = sorted((run.directory / "samples").glob("samples-*.png"))
    assert list(pictures_logged) == [int(path.stem.split("-")[1]) for path in saved]
    for path, logged in zip(saved, pictures_logged.values(), strict=True):
        there, here = Image.open(record / "files" / logged), Image.open(path)
        assert (np.asarray(there.convert("L")) == np.asarray(here)).all()

    (started,) = (entry["run"] for entry in records if entry["type"] == "run")
    assert started["config"]["update"]["choices"]["model"] == "dcgan"
    assert started["display_name"] == run.directory.name


def test_the_end_says_what_came_of_it_and_how_to_go_on(run: Run) -> None:
    last = {row["metric"]: row["value"] for row in run.lines("scores.jsonl")}
    shown = [metric for metric in last if f"  {metric} " in run.out]
    assert len(shown) == 12
    assert {"fid_classifier", "is_classifier", "recall_classifier", "memorised_classifier"} <= set(shown)
    for metric in shown:
        assert short(last[metric]) in run.out
    assert f"{len(last) - 12} more scores and all details are in scores.jsonl" in run.out
    assert f"{IMAGES:,} images and 10 generator updates" in run.out
    assert "W&B: no API key found, so this run is recorded offline" in run.err
    said = [line for line in run.err.splitlines() if not line.startswith("alarm")]
    assert [line.partition(" ")[0] for line in said] == ["classifier", "W&B:", "100%"], "only lines of our own"
    summary = json.loads((run.directory / "summary.json").read_text())
    assert summary["images_seen"] == IMAGES
    assert summary["device"] == (torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu")
    assert summary["last"] == last
    best = min(
        (row for row in run.lines("scores.jsonl") if row["metric"] == "fid_classifier"), key=lambda r: r["value"]
    )
    assert (summary["best"], summary["best_at_images"]) == ({"fid_classifier": best["value"]}, best["images_seen"])


def test_the_command_that_the_end_names_samples_from_the_checkpoint_alone(run: Run, tmp_path: Path) -> None:
    line = next(line for line in run.out.splitlines() if line.startswith("sample from it:"))
    program, script, *arguments = shlex.split(line.removeprefix("sample from it:"))
    assert (program, script) == ("python", "sample.py")
    alone = User(tmp_path)  # has only the checkpoint file: no data, no cache and no run
    checkpoint = Path(arguments[0].removeprefix("checkpoint="))
    (tmp_path / "mine.ckpt").write_bytes((run.user.folder / checkpoint).read_bytes())
    done = alone.run(script, "checkpoint=mine.ckpt", *arguments[1:])
    assert "64 samples of dcgan after" in done.stdout
    assert done.stderr == ""
    system = restore(tmp_path / "mine.ckpt", "cpu").system
    expected = pictures.grid(quantise(system.sample(64, seed=0)))
    assert (np.asarray(Image.open(tmp_path / "samples" / "grid.png")) == np.asarray(expected)).all()


def test_evaluate_scores_the_checkpoint_alone_as_the_run_did(run: Run, tmp_path: Path) -> None:
    alone = User(tmp_path)
    (tmp_path / "mine.ckpt").write_bytes((run.directory / "checkpoints" / "last.ckpt").read_bytes())
    done = alone.run("evaluate.py", "checkpoint=mine.ckpt")
    assert done.stderr == ""
    cards = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    end = [row for row in run.lines("scores.jsonl") if row["images_seen"] == IMAGES]
    assert [card["metric"] for card in cards] == [row["metric"] for row in end]
    changing = {"seconds", "checkpoint"}
    for card, row in zip(cards, end, strict=True):
        assert {k: v for k, v in card.items() if k not in changing} == {
            k: v for k, v in row.items() if k not in changing
        }
        assert card["checkpoint"] == "mine.ckpt"
        assert f"{card['value']:.4g}" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_two_ranks_and_a_resumed_run_print_only_lines_of_our_own(workers: int, tmp_path: Path) -> None:
    user = User(tmp_path)
    tiny = ("network.width=8", "batch_size=64", "features=random", "callbacks.scores.n=64", "logger=none")
    begun = user.run(
        "train.py", *tiny, "budget.images=192", "trainer.devices=2", f"data.num_workers={workers}", "run.dir=run"
    )
    resumed = user.run("train.py", "resume=run", "budget.images=256")
    for done, last in ((begun, "100% 192 images"), (resumed, "100% 256 images")):
        (line,) = (line for line in done.stderr.splitlines() if not line.startswith("alarm"))
        assert line.startswith(last)


def test_the_checkpoint_of_a_folder_is_its_best(run: Run) -> None:
    assert find(str(run.directory)) == run.directory / "checkpoints" / "best.ckpt"
    best = torch.load(run.directory / "checkpoints" / "best.ckpt", weights_only=True)
    summary = json.loads((run.directory / "summary.json").read_text())
    assert best["progress"]["images_seen"] == summary["best_at_images"]


def test_the_console_script(tmp_path: Path) -> None:
    script = str(Path(sys.executable).with_name("saddlepoint"))
    user = User(tmp_path)
    assert user.run(script, "--version").stdout == f"{__version__}\n"
    usage = user.run(script, "--help").stdout
    for command in ("train", "evaluate", "sample"):
        assert f"saddlepoint {command} " in usage
