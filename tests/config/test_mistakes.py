"""Conversion of errors of Hydra and OmegaConf to UserErrors with key, problem and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.errors import MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from saddlepoint.config.compose import compose_config
from saddlepoint.config.directory import options
from saddlepoint.config.mistakes import in_composing, in_reading
from saddlepoint.config.overrides import CommandLine
from saddlepoint.errors import UserError

LISTED = "`saddlepoint train --help` lists the keys"
OVERRIDES = {
    # keys
    "btach_size=3": ("btach_size", "unknown key", "did you mean 'batch_size'?"),
    "run.rot=x": ("run.rot", "unknown key", "did you mean 'run.root'?"),
    "network.generator.widht=3": ("network.generator.widht", "unknown key", "did you mean 'network.generator.width'?"),
    "betas=[0,1]": ("betas", "unknown key", "did you mean 'optimizer.discriminator.betas'?"),
    "a.b.c=3": ("a.b.c", "unknown key", LISTED),
    "seed.x=3": ("seed.x", "unknown key", LISTED),
    "budget={image:3}": ("budget.image", "unknown key", "did you mean 'budget.images'?"),
    "~sede": ("sede", "unknown key", "did you mean 'seed'?"),
    "hydra.swep.dir=x": ("hydra.swep.dir", "unknown key", "did you mean 'hydra.sweep.dir'?"),
    "model=cgan network.width=4": (
        "network.width",
        "unknown key",
        "`saddlepoint train model=cgan --cfg job` shows the keys",
    ),
    "model=gan network.generator.hiden=4": (
        "network.generator.hiden",
        "unknown key",
        "did you mean 'network.generator.hidden'?",
    ),
    "data=image_folder data.rot=x": ("data.rot", "unknown key", "did you mean 'data.root'?"),
    "+a.b=1 a.b=2 a.c=3": ("a.c", "unknown key", "did you mean 'a.b'?"),
    "+seed=1": ("seed", "this key already exists", "leave out the +"),
    "+a=1 +a=2": ("a", "this key already exists", "leave out the +"),
    # choices
    "+model=lsgan": ("model", "this group already has a choice", "leave out the +"),
    "++model=dcgan": ("model", "this group already has a choice", "leave out the +"),
    "loss=null": ("loss", "null is not a choice", f"choose from {', '.join(options('loss'))}"),
    "norm=3": ("norm", "3 is not a choice", "choose from batch, layer, none, spectral, spectral_both"),
    "augment=null": (
        "augment",
        "null is not a choice",
        f"choose from {', '.join(options('augment'))}, or [] for none",
    ),
    "norm=bacth": (
        "norm",
        "unknown choice 'bacth'",
        "did you mean 'batch'? The choices are batch, layer, none, spectral, spectral_both",
    ),
    "norm=[batch,leyer]": (
        "norm",
        "unknown choice 'leyer'",
        "did you mean 'layer'? The choices are batch, layer, none, spectral, spectral_both",
    ),
    "trainer=x": ("trainer", "unknown choice 'x'", f"choose from {', '.join(options('trainer'))}"),
    "experiment=modes/rnig": (
        "experiment",
        "unknown choice 'modes/rnig'",
        f"did you mean 'modes/ring'? The choices are {', '.join(options('experiment'))}",
    ),
    "hydra/sweeper=x": ("hydra/sweeper", "unknown choice 'x'", "choose from basic"),
    # several values
    "seed=1,2": ("seed", "several values (1,2)", "add -m to run them all"),
    "seed=range(1,3)": ("seed", "several values (range(1,3))", "add -m to run them all"),
    "data.root=a,b": (
        "data.root",
        "several values (a,b)",
        "add -m to run them all, or quote it if it is a single value: \"data.root='…'\"",
    ),
    # what cannot be parsed
    "mnist": (None, "cannot parse mnist", "settings are key=value, and --help lists them"),
    "seed=[1": (
        "seed",
        "cannot parse [1",
        "close its brackets and quotes, or quote the value: \"seed='[1'\"",
    ),
    "data.source.labels=it's": (
        "data.source.labels",
        "cannot parse it's",
        "close its brackets and quotes, or quote the value: \"data.source.labels='it\\'s'\"",
    ),
    "run.name='it's'": (
        "run.name",
        "cannot parse 'it's'",
        "close its brackets and quotes, or quote the value: \"run.name='it\\'s'\"",
    ),
}


@pytest.mark.parametrize("overrides", OVERRIDES)
def test_the_wrong_override_is_found(overrides: str) -> None:
    with pytest.raises(UserError) as caught:
        compose_config("train", overrides.split(" "))
    found = caught.value
    assert (found.key, found.problem, found.remedy) == OVERRIDES[overrides]


def test_the_first_mistake_is_told() -> None:
    with pytest.raises(UserError, match=r"^model: unknown choice 'x'"):
        compose_config("train", ["btach_size=3", "model=x"])  # which keys exist depends on the model


def test_keys_of_other_commands() -> None:
    with pytest.raises(UserError, match=r"^frmat: unknown key; did you mean 'format'\?$"):
        compose_config("sample", ["frmat=[png]"])
    with pytest.raises(UserError, match=r"^data: unknown choice 'nowhere'; choose from"):
        compose_config("evaluate", ["data=nowhere"])


# Files


def own(folder: Path, text: str) -> UserError:
    (folder / "experiment").mkdir()
    (folder / "experiment" / "own.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        compose_config("train", ["experiment=own"], str(folder))
    return caught.value


def test_invalid_yaml_is_named_with_its_line(tmp_path: Path) -> None:
    error = own(tmp_path, "a: [1\nb: }")
    assert error.problem.startswith(f"{tmp_path / 'experiment' / 'own.yaml'}, line 2: invalid YAML (")


def test_code_in_yaml_is_refused(tmp_path: Path) -> None:
    error = own(tmp_path, f"a: !!python/object/apply:os.mkdir ['{tmp_path / 'pwned'}']")
    assert f"{tmp_path / 'experiment' / 'own.yaml'}, line 1: invalid YAML (" in error.problem
    assert not (tmp_path / "pwned").exists()


def test_an_unknown_choice_in_a_file(tmp_path: Path) -> None:
    error = own(tmp_path, "# @package _global_\ndefaults:\n  - override /norm: bacth\n")
    assert (error.key, error.problem) == ("norm", "unknown choice 'bacth'")


def test_what_no_rule_explains_is_told_in_hydras_words(tmp_path: Path) -> None:
    error = own(tmp_path, "# @package _global_\ndefaults:\n  - override /nrom: batch\n")
    assert error.problem.startswith("cannot compose the config: ")
    assert "nrom" in error.problem
    assert "\n" not in str(error)


# Values that cannot be resolved


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"root": "???", "source": {"root": "${root}"}}, ("root", "missing value", "set root=…")),
        ({"source": {"root": "???"}}, ("source.root", "missing value", "set source.root=…")),
        ({"source": {"root": "${nowhere}"}}, ("source.root", "interpolation key 'nowhere' not found", None)),
    ],
)
def test_a_value_that_cannot_be_resolved_is_named(
    content: dict[str, object], expected: tuple[str, str, str | None]
) -> None:
    with pytest.raises(OmegaConfBaseException) as caught:
        _ = OmegaConf.create(content).source.root
    found = in_reading(caught.value)
    assert (found.key, found.problem, found.remedy) == expected


def test_a_launcher_that_is_not_installed_is_named_with_its_extra() -> None:
    error = MissingConfigException("not found", "hydra/launcher/joblib", options=["basic"])
    mistake = in_composing(error, CommandLine("train", ("hydra/launcher=joblib",)), lambda _: {})
    assert mistake is not None
    assert str(mistake) == ("hydra/launcher: the launcher 'joblib' is not installed; pip install 'saddlepoint[sweeps]'")
