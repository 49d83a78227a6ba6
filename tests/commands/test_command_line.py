"""How a command line is read: in any order, one choice a group, texts as texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from saddlepoint.commands import resume, train
from saddlepoint.commands.check import check_schema
from saddlepoint.commands.composition import compose_config, text_keys, understood
from saddlepoint.commands.main import config_directory
from saddlepoint.errors import UserError

CONF = config_directory()
TOO_LARGE = "batch_size=5000"
"""Refused once the config has been composed, checked and the data looked at."""


def test_options_stand_anywhere(refuse: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "mine" / "loss").mkdir(parents=True)
    (tmp_path / "mine" / "loss" / "own.yaml").write_text("_target_: saddlepoint.losses.Hinge\n")
    own = ["--config-dir", str(tmp_path / "mine")]
    for arguments in (
        ["seed=1", *own, "loss=own", TOO_LARGE],
        ["seed=1", "loss=own", TOO_LARGE, f"--config-dir={tmp_path / 'mine'}"],
        ["loss=own", "-cd", own[1], TOO_LARGE],
    ):
        assert "5000 is more than the 1,472 training samples" in refuse("train", *arguments)


def test_options_come_first() -> None:
    given = ["model=dcgan", "-m", "seed=0,1", "--config-dir", "x=y", "~data", "--cfg", "job"]
    assert understood("train", given) == [
        "-m",
        "--config-dir",
        "x=y",
        "--cfg",
        "job",
        "model=dcgan",
        "seed=0,1",
        "~data",
    ]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--confg-dir=x", "seed=1"], "unrecognized arguments: --confg-dir=x"),
        (["seed=1", "--config-dir"], "argument --config-dir/-cd: expected one argument"),
        (["--cfg", "everything"], "argument --cfg/-c: invalid choice: 'everything'"),
    ],
)
def test_an_unknown_option_is_one_line(refuse: Callable[..., str], arguments: list[str], named: str) -> None:
    line = refuse("train", *arguments)
    assert named in line
    assert line.endswith("settings are key=value, and --help lists them")


GROUPS = ("model", "data", "network", "norm", "loss", "optimizer", "features", "trainer", "logger")


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_takes_one_choice(group: str) -> None:
    first, second = sorted(file.stem for file in (config_directory() / group).glob("*.yaml"))[:2]
    for choices in (f"[{first},{second}]", "[]") if group == "model" else (f"[{first}]",):
        with pytest.raises(
            UserError, match=rf"^{group} takes one choice, not a list; to run several, {group}=a,b with -m$"
        ):
            compose_config("train", [f"{group}={choices}"], str(config_directory()))


def test_one_choice_in_every_command_and_in_files(refuse: Callable[..., str], tmp_path: Path) -> None:
    assert refuse("train", "model=[dcgan,lsgan]").startswith("model takes one choice")
    assert refuse("evaluate", "features=[random,classifier]").startswith("features takes one choice")
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "own.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /loss: [hinge, minimax]\n"
    )
    assert refuse("train", "--config-dir", str(tmp_path), "experiment=own").startswith("loss takes one choice")


def test_a_group_of_several_takes_a_list() -> None:
    config = compose_config("train", ["regularizer=[gradient_penalty,weight_clipping]"], str(config_directory()))
    assert list(config.regularizer) == ["gradient_penalty", "weight_clipping"]


def test_evaluate_by_no_features_is_refused(refuse: Callable[..., str], trained: Path) -> None:
    for more in ([], ["data=digits"]):
        assert "features=none gives no scores" in refuse("evaluate", f"checkpoint={trained}", "features=none", *more)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("run.name=1", "run.name='1'"),
        ("run.name=007", "run.name='007'"),
        ("run.name=1e5", "run.name='1e5'"),
        ("run.name=-2.50", "run.name='-2.50'"),
        ("run.name=true", "run.name='true'"),
        ("run.name=1,2", "run.name='1','2'"),
        ("+run.name=1", "+run.name='1'"),
        ("run.dir=2026", "run.dir='2026'"),
        ("run.name=null", "run.name=null"),
        ("run.name='1'", "run.name='1'"),
        ("run.name=first", "run.name=first"),
        ("run.name=1st", "run.name=1st"),
        ("seed=1", "seed=1"),
        ("budget.hours=1e5", "budget.hours=1e5"),
        ("logger.tags=[1]", "logger.tags=[1]"),
        ("data.root=2024", "data.root='2024'"),
        ("run.name='a,1'", "run.name='a,1'"),
    ],
)
def test_texts_that_look_like_numbers_are_texts(given: str, meant: str) -> None:
    assert understood("train", [given]) == [meant]


PATHS = [
    "Фото",
    "it's",
    "'tis",
    "my photos (1)",
    "photos(1)",
    "a=b",
    "~/x",
    "~nobody/x",
    "A&B; #1!",
    "a, Фото",
    'the "best"',
    "C:\\my photos (1)\\",
    "[1] ",
    "écran^2",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("key", ["data.root", "data.cache_dir", "run.dir", "resume", "+features.weights"])
def test_paths_of_every_day_are_read_as_they_are_typed(path: str, key: str) -> None:
    (argument,) = understood("train", [f"{key}={path}"])
    (override,) = OverridesParser.create().parse_overrides([argument])
    assert override.value() == path
    assert understood("train", [argument]) == [argument]


def test_paths_compose() -> None:
    config = compose_config("train", understood("train", ["data=image_folder", "data.root=it's"]), str(CONF))
    assert config.data.source.root == "it's"


@pytest.mark.parametrize("path", ["plain", "../a b", "/x/${data.fit}", "null", "", "a:b@c", "$HOME", "'it\\'s'", '"1"'])
def test_what_can_be_read_stays_as_it_is_typed(path: str) -> None:
    assert understood("train", [f"data.root={path}"]) == [f"data.root={path}"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("data.root=a,Фото", "data.root=a,'Фото'"),
        ("run.name=it's, 'a,(1)',1", "run.name='it\\'s', 'a,(1)','1'"),
        ("data.root=choice(a,b)", "data.root=choice(a,b)"),
        ("data.root=choice(a,Фото)", "data.root=choice(a,Фото)"),  # to be refused: these would be no two values
    ],
)
def test_commas_part_the_values_of_a_sweep(given: str, meant: str) -> None:
    assert understood("train", ["-m", given]) == ["-m", meant]


@pytest.mark.parametrize(
    ("argument", "remedy"),
    [
        ("data.source.labels=it's", "put a text in quotes: \"data.source.labels='it\\'s'\""),
        ("data.root='it's'", "put a text in quotes: \"data.root='it\\'s'\""),
        ("seed=[1", "seed=[1; close what it opens"),
        ("mnist", "mnist; settings are key=value, and --help lists them"),
        ("data.root=a,b", "add -m to run them all, or put one in quotes: \"data.root='…'\""),
    ],
)
def test_what_cannot_be_read_is_said_with_the_way_out(refuse: Callable[..., str], argument: str, remedy: str) -> None:
    line = refuse("train", argument)
    assert remedy in line
    assert "Exception" not in line


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["model=cgan", "network.width=4"], "; `train model=cgan --cfg job` shows the keys"),
        (["model=gan", "network.generator.hiden=4"], "; did you mean 'network.generator.hidden'?"),
        (["data=image_folder", "data.rot=x"], "; did you mean 'data.root'?"),
        (["-m", "seed=0,1", "model=dcgan,cgan", "network.width=4"], "; `train model=cgan --cfg job` shows the keys"),
    ],
)
def test_a_hint_names_a_key_of_the_parts_that_were_chosen(
    refuse: Callable[..., str], arguments: list[str], hint: str
) -> None:
    line = refuse("train", *arguments)
    key = arguments[-1].partition("=")[0]
    assert line.startswith(f"unknown key '{key}'{hint}")


def test_the_keys_that_hold_texts() -> None:
    assert {"run.root", "run.dir", "run.name", "init_from", "resume", "logger.project"} <= text_keys("train")
    assert {"checkpoint", "out", "export"} <= text_keys("sample")
    assert {"samples", "reference", "data.root", "features.weights"} <= text_keys("evaluate")
    assert "data.root" not in text_keys("sample")
    assert not {"seed", "model", "logger.mode", "plugins", "data"} & text_keys("train")


def test_a_run_by_a_number_for_a_name(invoke: Any, tmp_path: Path) -> None:
    quick = ["network=mlp", "network.width=8", "budget.images=128", "features=none", "logger=none"]
    outcome = invoke("train", "run.name=007", *quick)
    assert outcome.code == 0, outcome.err
    assert [path.name for path in (tmp_path / "outputs").iterdir()] == ["007"]
    refused = invoke("sample", "checkpoint=12")
    assert (refused.code, refused.err) == (2, "error: no checkpoint at 12\n")


def test_a_config_is_checked_against_its_schema_once(
    refuse: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = []

    def counted(config: Any, schema: Any) -> None:
        checked.append(schema)
        check_schema(config, schema)

    for module in (train, resume):
        monkeypatch.setattr(module, "check_schema", counted)
    assert "5000 is more than" in refuse("train", TOO_LARGE)
    assert len(checked) == 1
