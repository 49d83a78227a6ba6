"""Composes configs from overrides, repeatedly if needed, without leaving global Hydra state behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from omegaconf import DictConfig, OmegaConf, open_dict

from saddlepoint.config import mistakes
from saddlepoint.config.directory import config_directory, defaults, is_choice
from saddlepoint.config.overrides import CommandLine, parse, quote
from saddlepoint.errors import UserError

SEARCH_PATH = "hydra.searchpath"
ONE_OR_SEVERAL = ("logger",)
"""Groups that have a default choice, and take one choice or a list."""


class Composed(NamedTuple):
    """A config and the option chosen for each group, such as ``{"model": "dcgan"}``."""

    config: DictConfig
    choices: dict[str, str]


def compose_config(command: str, overrides: Sequence[str] = (), folder: str | None = None) -> DictConfig:
    """Return a command's config; see :func:`composed`."""
    return composed(command, overrides, folder).config


def composed(command: str, overrides: Sequence[str] = (), folder: str | None = None) -> Composed:
    """Compose a command's config.

    Args:
        command: ``train``, ``evaluate``, ``sample``, ``explore`` or ``report``.
        overrides: overrides such as ``model=wgan_gp``; see :func:`saddlepoint.config.overrides.from_settings` for
            Python values.
        folder: a folder of additional configs, like ``--config-dir``.

    Raises:
        UserError: if the overrides are invalid.
    """
    config = _checked(CommandLine(command, tuple(overrides), folder=folder))
    choices = choices_of(config.hydra)
    with open_dict(config):
        del config["hydra"]
    return Composed(config, choices)


def choices_of(hydra: Any) -> dict[str, str]:
    """Return the option chosen for each group, from the ``hydra`` node of a config."""
    choices = {key: str(value) for key, value in hydra.runtime.choices.items() if "/" not in key}
    return {key: value for key, value in choices.items() if value not in ("None", "null") and key != "hydra"}


def typed(hydra: Any) -> list[str]:
    """Return a job's overrides, without those of Hydra's own config, with interpolations unresolved."""
    given: Any = OmegaConf.to_container(hydra.overrides.task, resolve=False)
    return [str(override) for override in given]


def check_choices(config: str, choices: Mapping[str, Any], overrides: Iterable[str]) -> None:
    """Check that each group that takes a single choice has one; Hydra does not check this.

    Args:
        config: the name of the command's config.
        choices: Hydra's record of the choice of each group, which lacks groups whose choice is a list.
        overrides: the overrides of the config, which may delete a group.

    Raises:
        UserError: if the choice is a list, or a file that only holds settings shared by several choices.
    """
    for group, choice in choices.items():
        if not is_choice(str(choice)):
            problem = f"'{choice}' holds settings that choices share, and is not a choice itself"
            raise UserError(problem, group, "use glob(*,exclude=_*) to run all choices")
    given = {*choices, *(override.removeprefix("~") for override in overrides)}
    for group, default in defaults(config).items():
        if default != [] and group not in (*given, *ONE_OR_SEVERAL):
            raise mistakes.one_choice(group)


def check_jobs(line: CommandLine) -> None:
    """Compose enough jobs of a sweep for each value to occur once, so that errors are found before the first job.

    Values are those of the command line and of ``hydra.sweeper.params``, which an experiment can set; the command line
    has precedence.

    Raises:
        UserError: if an override of a job is invalid, or an experiment that is one of several values sets
            ``hydra.sweeper.params``, since Hydra reads them once, before the jobs are composed.
    """
    with explained(line):
        single = [str(one.input_line) for one in parse(line.overrides) if not one.is_sweep_override()]
        params = _params(_composed(line, single))
        with _hydra():
            parser = OverridesParser.create(GlobalHydra.instance().config_loader())
            listed = parser.parse_overrides([*(f"{key}={values}" for key, values in params.items()), *line.overrides])
    values = {override.get_key_element(): _values(override) for override in listed}
    for job in _jobs([*values.values()]):
        own = _params(_checked(CommandLine(line.command, tuple(job), folder=line.folder)))
        if own != params:
            problem = f"it sweeps over {', '.join(own)} itself, and cannot be one of several experiments"
            raise UserError(problem, "experiment", "give it alone, with -m")


def _params(config: DictConfig) -> dict[str, str]:
    """Return the sweep that a config defines: values separated by commas, by key."""
    params: Any = OmegaConf.to_container(config.hydra.sweeper, resolve=False)
    return dict(params.get("params") or {})


def _jobs(values: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    first = [choices[0] for choices in values]
    yield first
    for i, choices in enumerate(values):
        for choice in choices[1:]:
            yield [*first[:i], choice, *first[i + 1 :]]


def _values(override: Override) -> list[str]:
    """Return one override for each value of a sweep override."""
    value = override.value()
    if override.is_discrete_sweep():
        return [f"{override.get_key_element()}={one}" for one in override.sweep_string_iterator()]
    if isinstance(value, IntervalSweep):
        return [f"{override.get_key_element()}={value.start}"]
    return [str(override.input_line)]


@contextmanager
def explained(line: CommandLine) -> Iterator[None]:
    """Convert errors of composing a command line to a UserError.

    Raises:
        UserError: if composing fails because of the command line or a config file.
    """
    try:
        yield
    except mistakes.COMPOSING as error:
        if (mistake := mistakes.in_composing(error, line, _plain(line))) is None:
            raise
        raise mistake from None


def _plain(line: CommandLine) -> Callable[[Sequence[str]], dict[str, Any]]:
    def composed(overrides: Sequence[str]) -> dict[str, Any]:
        content = OmegaConf.to_container(_composed(line, overrides), resolve=False)
        assert isinstance(content, dict)
        return {str(key): value for key, value in content.items()}

    return composed


def _checked(line: CommandLine) -> DictConfig:
    """Return the config of a command line, including its ``hydra`` node.

    Raises:
        UserError: if the overrides are invalid.
    """
    with explained(line):
        config = _composed(line, line.overrides)
    check_choices(line.command, config.hydra.runtime.choices, line.overrides)
    return config


def _composed(line: CommandLine, overrides: Sequence[str]) -> DictConfig:
    """Return the config, including its ``hydra`` node."""
    overrides = [*overrides]
    if line.folder is not None:
        paths = [f"file://{Path(line.folder).absolute()}"]
        for override in parse(overrides):
            value: Any = override.value()
            if override.key_or_group == SEARCH_PATH and isinstance(value, list):
                paths += value
        overrides = [f"{SEARCH_PATH}=[{','.join(map(quote, paths))}]", *overrides]  # Hydra uses the first
    with _hydra():
        return compose(line.config or line.command, overrides, return_hydra_config=True)


@contextmanager
def _hydra() -> Iterator[None]:
    """Initialize Hydra temporarily; the state of a Hydra application running in this process is restored on exit."""
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(config_directory()), version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().clear()
        if running is not None:
            GlobalHydra.instance().initialize(running)
