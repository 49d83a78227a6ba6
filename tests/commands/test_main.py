from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from saddlepoint import __version__
from saddlepoint.commands.main import COMMANDS
from saddlepoint.config.directory import config_directory, options


def test_usage_and_version(invoke: Any) -> None:
    for asked in ((), ("--help",), ("-h",)):
        outcome = invoke(None, *asked)
        assert outcome.code == 0
        assert all(f"saddlepoint {command} " in outcome.out for command in COMMANDS)
    assert invoke(None, "--version").out == f"{__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_lists_every_choice_and_every_key(invoke: Any, command: str, tmp_path: Path) -> None:
    outcome = invoke(command, "--help")
    assert outcome.code == 0
    assert not outcome.err
    assert f"python {command}.py key=value" in outcome.out
    own = yaml.safe_load((config_directory() / f"{command}.yaml").read_text())
    for key in set(own) - {"defaults", "hydra"}:
        assert f"\n{key}:" in outcome.out or f"\n'{key}':" in outcome.out, key
    listed = outcome.out.partition("\nKeys, with")[0]
    every = {path.name for path in config_directory().iterdir() if path.is_dir()} - {"hydra", "experiment"}
    used = {"train": every, "evaluate": {"data", "features"}}.get(command, set())
    for group in every:
        assert (f"\n{group}: {', '.join(options(group))}\n" in listed) == (group in used)
    quick = f"\nexperiment/quick: {', '.join(options('experiment/quick'))}\n"
    assert (quick in listed) == (command == "train")
    assert " _" not in listed  # files that begin with _ are not choices
    assert not any(tmp_path.iterdir())


def test_help_lists_the_choices_of_a_folder_of_ones_own(invoke: Any, tmp_path: Path) -> None:
    (tmp_path / "own" / "loss").mkdir(parents=True)
    for name in ("mine", "_mine"):
        (tmp_path / "own" / "loss" / f"{name}.yaml").write_text("_target_: saddlepoint.losses.Hinge\n")
    outcome = invoke("train", f"--config-dir={tmp_path / 'own'}", "--help")
    assert f"\nloss: {', '.join(sorted([*options('loss'), 'mine']))}\n" in outcome.out


def test_cfg_job_prints_the_config_and_runs_nothing(invoke: Any, tmp_path: Path) -> None:
    outcome = invoke("train", "model=wgan_gp", "data=gaussians", "--cfg", "job")
    assert outcome.code == 0
    config = yaml.safe_load(outcome.out)
    assert config["regularizer"]["gradient_penalty"]["weight"] == 10.0
    assert config["network"]["generator"]["_target_"] == "saddlepoint.networks.MLPGenerator"
    assert config["data"]["source"]["layout"] == "${data.layout}"
    assert not any(tmp_path.iterdir())
