"""Parsing of command lines: options in any position, quoting of strings, and overrides from Python values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from saddlepoint.config.overrides import CommandLine, from_settings, parse, read, text_keys
from saddlepoint.errors import UserError


def test_options_are_told_from_overrides(tmp_path: Path) -> None:
    given = ["model=dcgan", "-m", "seed=0,1", "--config-dir", str(tmp_path), "~data", "--cfg", "job", "-cn", "mine"]
    assert read("train", given) == CommandLine(
        "train",
        overrides=("model=dcgan", "seed=0,1", "~data"),
        options=("-m", "--config-dir", str(tmp_path), "--cfg", "job", "-cn", "mine"),
        multirun=True,
        folder=str(tmp_path),
        config="mine",
    )
    assert read("train", ["seed=1"]) == CommandLine("train", ("seed=1",))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--confg-dir=x", "seed=1"], "unrecognized arguments: --confg-dir=x"),
        (["--multi", "seed=1"], "unrecognized arguments: --multi"),
        (["seed=1", "--config-dir"], "argument --config-dir/-cd: expected one argument"),
        (["--cfg", "everything"], "argument --cfg/-c: invalid choice: 'everything'"),
    ],
)
def test_an_unknown_option_is_refused(arguments: list[str], problem: str) -> None:
    with pytest.raises(UserError) as caught:
        read("train", arguments)
    assert caught.value.problem.startswith(problem)
    assert caught.value.remedy == "settings are key=value, and --help lists them"


def test_options_that_cannot_be_used() -> None:
    with pytest.raises(UserError, match=r"^--config-dir: no such folder: nowhere$"):
        read("train", ["--config-dir=nowhere"])
    with pytest.raises(UserError, match=r"^--experimental-rerun: it unpickles a file"):
        read("train", ["--experimental-rerun", "config.pickle"])


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
    assert read("train", [given]).overrides == (meant,)


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
    (argument,) = read("train", [f"{key}={path}"]).overrides
    (override,) = parse([argument])
    assert override.value() == path
    assert read("train", [argument]).overrides == (argument,)


@pytest.mark.parametrize("path", ["plain", "../a b", "/x/${data.fit}", "null", "", "a:b@c", "$HOME", "'it\\'s'", '"1"'])
def test_what_can_be_read_stays_as_it_is_typed(path: str) -> None:
    assert read("train", [f"data.root={path}"]).overrides == (f"data.root={path}",)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("data.root=a,Фото", "data.root=a,'Фото'"),
        ("run.name=it's, 'a,(1)',1", "run.name='it\\'s', 'a,(1)','1'"),
        ("data.root=choice(a,b)", "data.root=choice(a,b)"),
        ("data.root=choice(a,Фото)", "data.root=choice(a,Фото)"),  # unchanged: Hydra rejects it
    ],
)
def test_commas_part_the_values_of_a_sweep(given: str, meant: str) -> None:
    assert read("train", ["-m", given]).overrides == (meant,)


def test_the_keys_that_hold_texts() -> None:
    assert {"run.root", "run.dir", "run.name", "init_from", "resume", "logger.project"} <= text_keys("train")
    assert {"checkpoint", "out", "export"} <= text_keys("sample")
    assert {"samples", "reference", "data.root", "features.weights"} <= text_keys("evaluate")
    assert "data.root" not in text_keys("sample")
    assert not {"seed", "model", "logger.mode", "plugins", "data"} & text_keys("train")


@pytest.mark.parametrize(
    "value",
    [
        "dcgan",
        "it's",
        "",
        "1",
        "null",
        "a,b",
        "${seed}",
        3,
        -2.5,
        1e-05,
        True,
        False,
        None,
        [],
        ["r1", "a b"],
        [1, [2.5]],
    ],
    ids=repr,
)
def test_python_values_arrive_as_they_are(value: Any) -> None:
    (override,) = parse(from_settings({"key": value}))
    assert override.key_or_group == "key"
    assert override.value() == value
    assert type(override.value()) is type(value)


def test_python_values_in_dicts_and_paths() -> None:
    settings = {"budget": {"images": 5, "hours": None}, "optimizer": {"generator": {"lr": 0.1}}, "run.dir": Path("a b")}
    assert from_settings(settings) == [
        "budget.images=5",
        "budget.hours=null",
        "optimizer.generator.lr=0.1",
        "run.dir='a b'",
    ]


def test_a_value_that_no_config_can_hold_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        from_settings({"model": {"prior": object()}})
    assert (caught.value.key, caught.value.problem) == ("model.prior", "a config cannot hold a value of type object")
