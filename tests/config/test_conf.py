"""Files whose names begin with ``_`` hold shared settings: they are not listed as choices and cannot be chosen."""

from __future__ import annotations

import pytest
import yaml

from saddlepoint.config.compose import check_jobs, compose_config
from saddlepoint.config.directory import config_directory, options
from saddlepoint.config.overrides import CommandLine
from saddlepoint.config.schema import TrainConfig
from saddlepoint.config.strict import check_schema
from saddlepoint.errors import UserError

CONF = config_directory()
SHARED = sorted(str(path.relative_to(CONF).with_suffix("")) for path in CONF.rglob("_*.yaml"))


def test_what_is_shared_is_known() -> None:
    assert SHARED == [
        "data/_images",
        "data/_known_folder",
        "data/_torchvision",
        "experiment/compare/_base",
        "experiment/quick/_base",
        "model/_autoregressive",
        "model/_gan",
        "network/_base",
        "network/_mlp",
        "optimizer/_base",
        "regularizer/_base",
    ]


@pytest.mark.parametrize("name", ["model/_gan", "data/_images", "optimizer/_base", "experiment/quick/_base"])
def test_what_is_shared_cannot_be_chosen(name: str) -> None:
    group, choice = name.split("/", 1)
    with pytest.raises(UserError) as caught:
        compose_config("train", [f"{group}={choice}"])
    assert caught.value.key == group
    assert caught.value.problem.startswith(f"'{choice}' ")


def test_an_unknown_choice_is_answered_with_choices() -> None:
    with pytest.raises(UserError) as caught:
        compose_config("train", ["model=gn"])
    assert caught.value.remedy == f"did you mean 'gan'? The choices are {', '.join(options('model'))}"


def test_a_sweep_over_all_choices_leaves_out_what_they_share() -> None:
    check_jobs(CommandLine("train", ("optimizer=glob(*,exclude=_*)",), multirun=True))


@pytest.mark.parametrize("name", [name for name in SHARED if not name.startswith("experiment/")])
def test_every_shared_key_is_explained_where_it_stands(name: str) -> None:
    for line in (CONF / f"{name}.yaml").read_text().splitlines():
        key, _, value = line.partition(":")
        explained = " # " in value or "${" in value or key.strip() in ("_target_", "defaults")
        assert line.startswith("#") or not value or explained, line


def test_trained_on_the_data_themselves_unless_an_encoder_is_chosen() -> None:
    assert compose_config("train", []).encoder is None
    config = compose_config("train", ["encoder=checkpoint", "encoder.checkpoint=run"])
    check_schema(config, TrainConfig)
    assert config.encoder == {"checkpoint": "run", "sha256": None}
    assert yaml.safe_load((CONF / "encoder" / "checkpoint.yaml").read_text()) == {"checkpoint": "???", "sha256": None}
