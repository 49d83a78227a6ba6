"""The files of ``sweeps/``, run as W&B's agent runs them."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import saddlepoint
from saddlepoint.config.compose import compose_config
from saddlepoint.config.schema import TrainConfig
from saddlepoint.config.strict import check_schema
from saddlepoint.metrics.directions import lower_is_better
from saddlepoint.writing import read_json_lines

ROOT = Path(saddlepoint.__file__).parents[2]
FILES = sorted((ROOT / "sweeps").glob("*.yaml"))
KEYS = {"project", "program", "command", "method", "run_cap", "metric", "early_terminate", "parameters"}
FEW = (
    "network.width=4",
    "batch_size=16",
    "budget.images=300",
    "callbacks.scores.n=64",
    "callbacks.samples.n=4",
    "logger.mode=offline",
)
"""Settings after those of the file, for a few updates."""


def drawn(parameter: dict[str, Any], draw: random.Random) -> Any:
    if "value" in parameter:
        return parameter["value"]
    if "values" in parameter:
        return draw.choice(parameter["values"])
    low, high = parameter["min"], parameter["max"]
    if parameter["distribution"] == "int_uniform":
        return draw.randint(low, high)
    assert parameter["distribution"] == "log_uniform_values"
    return math.exp(draw.uniform(math.log(low), math.log(high)))


def command(file: Path, seed: int = 0) -> list[str]:
    """Return the command line of a run, with W&B's placeholders filled in as its documentation says."""
    content, draw = yaml.safe_load(file.read_text()), random.Random(seed)
    arguments = [f"{key}={drawn(parameter, draw)}" for key, parameter in content["parameters"].items()]
    filled = {
        "${env}": ["/usr/bin/env"],
        "${interpreter}": [sys.executable],
        "${program}": [content["program"]],
        "${args_no_hyphens}": arguments,
    }
    return [word for part in content["command"] for word in filled.get(part, [part])]


def test_there_is_a_file_for_each_method_and_a_line_about_it() -> None:
    methods = {yaml.safe_load(file.read_text())["method"] for file in FILES}
    assert methods == {"grid", "random", "bayes"}
    page = (ROOT / "sweeps" / "README.md").read_text()
    assert all(f"| `{file.name}` |" in page for file in FILES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_keys_are_those_of_wandb_and_the_drawn_settings_are_ours(file: Path) -> None:
    content = yaml.safe_load(file.read_text())
    assert content.keys() <= KEYS
    name = content["metric"]["name"].removesuffix("_best")
    assert content["metric"]["goal"] == ("minimize" if lower_is_better(name) else "maximize")
    for seed in range(5):
        words = command(file, seed)
        assert words[2] == "train.py"
        config = compose_config("train", words[3:])
        check_schema(config, TrainConfig)
        assert config.features._target_.endswith(".ClassifierFeatures")  # the score is fid_classifier


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_run_of_an_agent_logs_the_score_of_the_file(file: Path, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "WANDB_MODE": "offline",
        "NETRC": str(tmp_path / "none"),
        "XDG_CACHE_HOME": str(tmp_path),
    }
    line = [*command(file), *FEW, f"run.root={tmp_path}", "run.name=run"]
    subprocess.run(line, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    rows = read_json_lines(tmp_path / "run" / "history.jsonl")
    metric = yaml.safe_load(file.read_text())["metric"]["name"]
    assert [math.isfinite(row[metric]) for row in rows if metric in row] == [True] * 11
    assert any((tmp_path / "run" / "wandb").glob("offline-run-*"))
