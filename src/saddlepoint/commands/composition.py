"""What Hydra says of a wrong command line, in one line that names the mistake and the way out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel

from saddlepoint.commands import safety
from saddlepoint.errors import UserError, did_you_mean

NO_TEXT = re.compile(r"[+-]?(\d[\d_]*\.?[\d_]*|\.\d+)(e[+-]?\d+)?|true|false|nan|[+-]?inf", re.IGNORECASE)
SECRET = re.compile(r"(api[_-]?key|secret|token|password|passwd|credential)", re.IGNORECASE)


def redacted(node: Any) -> Any:
    """Return plain containers with the values of keys that name secrets blotted out.

    >>> redacted({"logger": {"api_key": "abc", "project": "x"}})
    {'logger': {'api_key': '…', 'project': 'x'}}
    """
    if isinstance(node, dict):
        return {key: "…" if value and SECRET.search(str(key)) else redacted(value) for key, value in node.items()}
    return [redacted(value) for value in node] if isinstance(node, list) else node


def compose_config(command: str, overrides: Sequence[str], directory: str) -> DictConfig:
    """Compose a command's config outside a Hydra application."""
    GlobalHydra.instance().clear()
    with safety.checking(), initialize_config_dir(directory, version_base="1.3"):
        return compose(command, list(overrides))


def understood(command: str, arguments: Sequence[str]) -> list[str]:
    """Return the arguments as Hydra reads them: options before overrides, and texts that look like numbers in quotes.

    Raises:
        UserError: for an option that is unknown, lacks its value, or would unpickle a file.
    """
    parser = get_args_parser()
    parser.error = _refuse_option  # type: ignore[method-assign]
    known = parser.parse_intermixed_args(list(arguments))
    if known.experimental_rerun is not None:
        raise UserError("--experimental-rerun unpickles a file, which can run code; to go on with a run, resume=RUN")
    options = list(arguments)
    for override in known.overrides:
        options.remove(override)
    texts = text_keys(command)
    return [*options, *(_quoted(override, texts) for override in known.overrides)]


def _refuse_option(message: str) -> NoReturn:
    raise UserError(f"{message.splitlines()[0]}; settings are key=value, and --help lists them")


def text_keys(command: str) -> set[str]:
    """Return the keys of a command's own that hold texts.

    >>> sorted(text_keys("sample"))[:2]
    ['checkpoint', 'export']
    """
    from saddlepoint.commands import schema

    def keys(model: type[BaseModel], prefix: str) -> Iterator[str]:
        for name, field in model.model_fields.items():
            kind = field.annotation
            if kind in (str, str | None):
                yield prefix + name
            elif isinstance(kind, type) and issubclass(kind, schema.Strict):
                yield from keys(kind, f"{prefix}{name}.")

    return set(keys(getattr(schema, f"{command.capitalize()}Config"), ""))


def _quoted(override: str, texts: set[str]) -> str:
    """Quote what YAML would take for a number or a truth value where only a text makes sense: ``run.name=1``."""
    key, _, value = override.partition("=")
    if key.lstrip("+") not in texts:
        return override
    return f"{key}=" + ",".join(f"'{one}'" if NO_TEXT.fullmatch(one) else one for one in value.split(","))


def check_overrides(command: str, arguments: Sequence[str]) -> None:
    """Refuse secrets on the command line, and, before a sweep writes anything, values that do not compose.

    Raises:
        UserError: with the mistake.
    """
    overrides = [a for a in arguments if "=" in a and not a.startswith("-")]
    for override in overrides:
        key = override.split("=", 1)[0]
        if SECRET.search(key):
            raise UserError(f"{key} looks like a secret, which must not stand on a command line; use the environment")
    own_files = any(a.startswith(("--config-dir", "-cd")) for a in arguments)  # which only Hydra itself will find
    if {"-m", "--multirun"} & set(arguments) and not own_files:
        try:
            _compose_jobs(command, overrides)
        except Exception as error:
            if (line := one_line(error, command)) is None:
                raise
            raise UserError(line) from None


def _compose_jobs(command: str, overrides: Sequence[str]) -> None:
    """Compose so many of a sweep's jobs that each value occurs in one: a typo in the last would show after hours."""
    from saddlepoint.commands.main import config_directory

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        parser = OverridesParser.create(GlobalHydra.instance().config_loader())
        values = [_values(o) for o in parser.parse_overrides(list(overrides))]
        first = [choices[0] for choices in values]
        compose(command, first)
        for i, choices in enumerate(values):
            for choice in choices[1:]:
                compose(command, [*first[:i], choice, *first[i + 1 :]])


def _values(override: Override) -> list[str]:
    """Return the overrides that one with several values stands for."""
    if override.is_discrete_sweep():
        return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
    return [str(override.input_line)]


def one_line(error: BaseException, command: str) -> str | None:
    """Return the mistake that a Hydra or OmegaConf error means, or None for any other error."""
    text = str(error)
    if isinstance(error, ValueError) and "Config group override must be" in text:
        return "a group was set to nothing; name a choice, or [] for regularizer"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem_mark.name}, line {error.problem_mark.line + 1}: no YAML: {error.problem}"
    if not isinstance(error, HydraException | OmegaConfBaseException):
        return None
    if match := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(match[1], command)
    if match := re.search(r"Could not (?:find|load) '([^']+)/([^'/]*)'", text):  # load: in a group that takes a list
        available = text.partition("Available options in")[2].partition("Config search path")[0]
        return _unknown_choice(match[1], match[2], re.findall(r"^\t(\S+)", available, re.MULTILINE))
    if match := re.search(r"Ambiguous value for argument '([^']+)'", text):
        return f"{match[1]} names several values; add -m to run them all"
    if match := re.search(r"An item is already at '([^']+)'", text):
        return f"{match[1]} exists already; leave the + out"
    if match := re.search(r"Missing mandatory value: ([\w.]+)", text):
        return f"missing value: say {match[1]}=…"
    if "You must specify" in text or "is not in struct" in text:
        return text.splitlines()[0]
    first = next((line for line in text.splitlines() if line.strip()), type(error).__name__)
    return f"cannot read the command line or the config: {first}"


def _unknown_choice(group: str, choice: str, options: list[str]) -> str:
    from saddlepoint.commands.main import config_directory

    options = options or [file.stem for file in (config_directory() / group).glob("*.yaml")]
    hint = did_you_mean(choice, options)
    return f"unknown {group} '{choice}'{hint} (there are: {', '.join(sorted(options)) or 'none'})"


def _unknown_key(key: str, command: str) -> str:
    from saddlepoint.commands.main import config_directory

    try:
        config = compose_config(command, [], str(config_directory()))
        known = list(_keys(OmegaConf.to_container(config, resolve=False)))
    except (HydraException, OmegaConfBaseException):
        known = []
    hint = did_you_mean(key, known)
    if not hint:
        last = {k.rsplit(".", 1)[-1]: k for k in known}
        near = did_you_mean(key.rsplit(".", 1)[-1], last)
        match = re.search(r"'([^']+)'", near)
        hint = f"; did you mean '{last[match[1]]}'?" if match else f"; `{command} --help` lists the keys"
    return f"unknown key '{key}'{hint}"


def _keys(node: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield f"{prefix}{key}"
            yield from _keys(value, f"{prefix}{key}.")
