"""Offline W&B runs, read back from the files that would be uploaded."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import wandb
from PIL import Image

from saddlepoint.systems.progress import Progress
from saddlepoint.tracking import wandb_account, wandb_logger
from saddlepoint.tracking.record import RunRecord


@pytest.fixture(autouse=True)
def _nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run without a W&B account and without a network."""
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    for name in ("CACHE_DIR", "CONFIG_DIR", "DATA_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path / "user"))
    yield
    if wandb.run is not None:
        wandb.run.finish()


def inspect(directory: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the records of the only run in ``directory/wandb``, by type."""
    (run,) = (directory / "wandb").glob("offline-run-*")
    asked = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(run)]
    lines = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    records: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        content = json.loads(line)
        records.setdefault(content["type"], []).append(content[content["type"]])
    return records


def test_a_run_is_read_back_as_it_was_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        logger = wandb_logger.build(
            tmp_path, {"seed": 3, "loss": {"a": 0.5}}, name="a-run", group="a-sweep", tags=["x", "y"], project="some"
        )
    assert logger is not None
    assert [entry.message for entry in caplog.records if "W&B" in entry.message] == [
        "W&B: no API key found, so this run is recorded offline (upload it later with `wandb sync`)"
    ]
    record = RunRecord(tmp_path, [logger])
    rows = [{"discriminator/loss": 1.25, "generator/loss": 0.1 * i} for i in range(3)]
    for i, row in enumerate(rows):
        record.log(Progress(images_seen=64 * i, generator_updates=i, seconds=float(i)), row)
    record.log_picture(Progress(images_seen=128), "samples", Image.new("RGB", (8, 8), "red"))
    frames = [Image.new("L", (8, 8), shade) for shade in (0, 255)]
    frames[0].save(tmp_path / "theory.gif", save_all=True, append_images=frames[1:])
    record.log_animation(Progress(images_seen=192), "theory_animation", tmp_path / "theory.gif")
    logger.finish()
    assert wandb.run is None

    found = inspect(tmp_path)
    run = found["run"][0]
    assert (run["run_group"], run["display_name"], run["job_type"]) == ("a-sweep", "a-run", "train")
    assert sorted(run["tags"]) == ["x", "y"]
    assert run["config"]["update"]["seed"] == 3
    assert run["config"]["update"]["loss"] == {"a": 0.5}
    assert {metric.get("step_metric") for metric in found["metric"] if metric.get("glob_name") == "*"} == {
        "images_seen"
    }
    *numbers, picture, animation = [entry["item"] for entry in found["history"]]
    for i, row in enumerate(rows):
        expected = {"images_seen": 64 * i, "generator_updates": i, "seconds": i, **row}
        assert {key: value for key, value in numbers[i].items() if not key.startswith("_")} == pytest.approx(expected)
    assert picture["images_seen"] == 128  # logged in the same call
    assert next((tmp_path / "wandb").glob(f"*/files/{picture['pictures/samples.path']}")).read_bytes()[1:4] == b"PNG"
    assert animation["images_seen"] == 192
    (kept,) = (tmp_path / "wandb").glob(f"offline-run-*/files/{animation['pictures/theory_animation.path']}")
    assert kept.read_bytes() == (tmp_path / "theory.gif").read_bytes()


def test_two_runs_of_one_process_are_two_records(tmp_path: Path) -> None:
    """Like the jobs of a sweep."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        logger = wandb_logger.build(tmp_path / name, {}, mode="offline", name=name)
        assert logger is not None
        RunRecord(tmp_path / name, [logger]).log(Progress(images_seen=1), {name: 1.0})
        logger.finish()
    for name, other in (("one", "two"), ("two", "one")):
        (row,) = inspect(tmp_path / name)["history"]
        assert row["item"][name] == 1.0
        assert other not in row["item"]


def test_a_key_without_a_network_is_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with caplog.at_level(logging.INFO):
        assert wandb_logger.build(tmp_path, {}) is not None
    assert "W&B: 127.0.0.1 cannot be reached, so this run is recorded offline" in caplog.text
    assert wandb.run is not None
    assert wandb.run.offline


def test_a_key_in_netrc_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1:9\n  login user\n  password 0000\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert wandb_logger.why_offline("auto") == "127.0.0.1 cannot be reached"
    (tmp_path / "netrc").write_text("not a netrc")
    assert wandb_logger.why_offline("auto") == "no API key found"


@pytest.mark.parametrize("machine", [urlsplit(wandb.Settings().base_url).netloc, "api.wandb.ai"])
def test_a_key_of_the_default_server_is_found(machine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the name by which `wandb login` stores it, which has changed between releases."""
    monkeypatch.delenv("WANDB_BASE_URL")
    monkeypatch.setattr("saddlepoint.tracking.wandb_account.socket.create_connection", lambda *_, **__: nullcontext())
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert wandb_account.unusable() == "no API key found"
    (tmp_path / "netrc").write_text(f"machine {machine}\n  login user\n  password 0000\n")
    assert wandb_account.unusable() is None


def test_disabled_keeps_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert wandb_logger.build(tmp_path, {}, mode="disabled") is None
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert wandb_logger.build(tmp_path, {}) is None
    assert not any(tmp_path.iterdir())
