"""Composing configs: choices of groups, a user's config folder, sweeps, and restoring Hydra's global state."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from saddlepoint.config.compose import check_jobs, compose_config, composed
from saddlepoint.config.directory import config_directory, defaults, options
from saddlepoint.config.overrides import CommandLine, from_settings, read
from saddlepoint.config.schema import TrainConfig
from saddlepoint.config.strict import check_schema
from saddlepoint.errors import UserError


def test_python_settings_compose_twice_and_leave_no_hydra_behind() -> None:
    for loss in ("hinge", "logistic"):
        settings = {"model": "wgan_gp", "loss": loss, "regularizer": ["r1"], "budget": {"images": 5}, "run.dir": "it's"}
        config, choices = composed("train", from_settings(settings))
        check_schema(config, TrainConfig)
        assert (choices["model"], choices["loss"], choices["data"]) == ("wgan_gp", loss, "digits")
        assert (list(config.regularizer), config.budget.images, config.run.dir) == (["r1"], 5, "it's")
        assert "hydra" not in config
        assert not GlobalHydra.instance().is_initialized()
        assert not HydraConfig.initialized()


def test_nothing_is_left_behind_after_a_mistake() -> None:
    with pytest.raises(UserError):
        compose_config("train", ["btach_size=3"])
    assert not GlobalHydra.instance().is_initialized()


PROGRAM = """
import hydra
from hydra.core.hydra_config import HydraConfig
from saddlepoint.config.compose import compose_config

@hydra.main(config_path=None, version_base="1.3")
def main(own):
    name = HydraConfig.get().job.name
    assert compose_config("train", ["model=lsgan"]).batch_size == 64
    assert HydraConfig.get().job.name == name
    assert hydra.compose(overrides=["+x=1"]).x == 1  # its own Hydra still composes
    print("done", own.y)

main()
"""


def test_a_hydra_program_can_compose_ours(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "program.py", "+y=2", "hydra.run.dir=.", "hydra.output_subdir=null"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == ["done", "2"], done.stderr


def test_another_hydra_that_is_initialised_stays_so() -> None:
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        assert compose_config("sample", ["n=3"]).n == 3
        with pytest.raises(UserError):
            compose_config("sample", ["m=3"])
        assert compose("evaluate", ["seed=5"]).seed == 5


# Choices


SINGLE = [group for group, choice in defaults("train").items() if choice != [] and options(group) and group != "logger"]


@pytest.mark.parametrize("group", SINGLE)
def test_a_group_takes_one_choice(group: str) -> None:
    first, *others = options(group)
    lists = [f"[{','.join([first, *others[:1]])}]", "[]"] if group == "model" else [f"[{first}]"]
    for choices in lists:
        with pytest.raises(UserError) as caught:
            compose_config("train", [f"{group}={choices}"])
        assert caught.value.key == group
        assert caught.value.problem == "this group takes one choice, not a list"


def test_loggers_are_one_or_several() -> None:
    assert compose_config("train", ["logger=csv"]).logger == {"csv": True}
    several = compose_config("train", ["logger=[wandb,csv]", "logger.project=x"]).logger
    assert (several.project, several.mode, several.csv) == ("x", "auto", True)


def test_a_group_of_several_takes_a_list() -> None:
    config = compose_config("train", ["regularizer=[gradient_penalty,weight_clipping]"])
    assert list(config.regularizer) == ["gradient_penalty", "weight_clipping"]


def test_a_group_can_be_deleted() -> None:
    assert "minibatch" not in compose_config("train", ["~minibatch"])


def test_paths_compose() -> None:
    config = compose_config("train", read("train", ["data=image_folder", "data.root=it's"]).overrides)
    assert config.data.source.root == "it's"


# A folder of the user's own


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {
        "loss/own": "_target_: saddlepoint.losses.Hinge\n",
        "loss/hinge": "_target_: saddlepoint.losses.Wasserstein\n",
        "experiment/own": "# @package _global_\ndefaults:\n  - override /loss: [hinge, minimax]\n",
        "mine": "defaults: [train, _self_]\nbatch_size: 9\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def test_a_folder_adds_choices_and_replaces_none(folder: Path) -> None:
    assert compose_config("train", ["loss=own"], str(folder)).loss._target_ == "saddlepoint.losses.Hinge"
    assert compose_config("train", ["loss=hinge"], str(folder)).loss._target_ == "saddlepoint.losses.Hinge"
    with pytest.raises(UserError, match="unknown choice 'own'"):
        compose_config("train", ["loss=own"])


def test_a_folder_beside_a_search_path_that_was_typed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (other := tmp_path_factory.mktemp("it's") / "norm").mkdir()
    (other / "other.yaml").write_text("generator: layer\ndiscriminator: layer\nspectral_norm: false\n")
    typed = [f'hydra.searchpath=["{other.parent}"]', "loss=own", "norm=other"]
    config = compose_config("train", typed, str(folder))
    assert (config.loss._target_, config.norm.generator) == ("saddlepoint.losses.Hinge", "layer")


def test_a_list_of_choices_in_a_file_is_refused_too(folder: Path) -> None:
    with pytest.raises(UserError, match=r"^loss: this group takes one choice"):
        compose_config("train", ["experiment=own"], str(folder))


def test_a_file_that_choices_share_cannot_be_chosen(folder: Path) -> None:
    (folder / "loss" / "_shared.yaml").write_text("_target_: saddlepoint.losses.Hinge\n")
    with pytest.raises(UserError) as caught:
        compose_config("train", ["loss=_shared"], str(folder))
    assert caught.value.key == "loss"
    assert caught.value.problem == "'_shared' holds settings that choices share, and is not a choice itself"
    with pytest.raises(UserError, match="unknown choice 'x'") as caught:
        compose_config("train", ["loss=x"], str(folder))
    assert "_shared" not in str(caught.value)
    check_jobs(sweep("loss=glob(*,exclude=_*)", folder=folder))


# Sweeps


def sweep(*overrides: str, folder: Path | None = None) -> CommandLine:
    return CommandLine("train", overrides, multirun=True, folder=None if folder is None else str(folder))


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=dcgan,wgan_gp", "seed=0,1"],
        ["seed=range(0,3)", "loss=glob(*,exclude=_*)"],
        ["regularizer=[gradient_penalty],[weight_clipping,gradient_penalty],[]"],
        ["model=wgan_gp", "regularizer.gradient_penalty.weight=1,10"],
        ["optimizer.generator.lr=interval(0.0001,0.01)", "seed=choice(0,1)"],
        ["data=image_folder", "data.root=somewhere", "seed=0,1"],
        ["data=gaussians", "data.layout=ring,grid"],
        ["+optimizer.generator.weight_decay=0.0,0.1", "++seed=1,2"],
    ],
    ids=" ".join,
)
def test_a_sweep_that_composes_passes(overrides: list[str]) -> None:
    check_jobs(sweep(*overrides))
    assert not GlobalHydra.instance().is_initialized()


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["model=dcgan,dcgna"], "model: unknown choice 'dcgna'; did you mean 'dcgan'?"),
        (
            ["seed=0,1", "regularizer=[],[gradient_penality]"],
            "regularizer: unknown choice 'gradient_penality'; did you",
        ),
        (["seed=0,1", "btach_size=3"], "btach_size: unknown key; did you mean 'batch_size'?"),
        (["seed=0,1", "loss=[hinge"], "loss: cannot parse [hinge; close its brackets"),
        (["regularizer.gradient_penalty.weight=1,10"], "regularizer.gradient_penalty.weight: unknown key"),
        (
            ["model=dcgan,cgan", "network.width=4"],
            "network.width: unknown key; `saddlepoint train model=cgan --cfg job`",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_sweep_with_a_mistake_in_its_last_job_ends_before_its_first(overrides: list[str], line: str) -> None:
    with pytest.raises(UserError) as caught:
        check_jobs(sweep(*overrides))
    assert str(caught.value).startswith(line)


def test_a_sweep_over_choices_of_the_users_own(folder: Path) -> None:
    check_jobs(sweep("loss=own,hinge", "seed=0,1", folder=folder))
    with pytest.raises(UserError, match=r"^loss: unknown choice 'onw'; did you mean 'own'\?"):
        check_jobs(sweep("loss=own,onw", folder=folder))
