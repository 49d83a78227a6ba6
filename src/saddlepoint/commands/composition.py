"""What Hydra says of a wrong command line, in one line that names the mistake and the way out."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel

from saddlepoint.commands import safety
from saddlepoint.errors import UserError, did_you_mean

NO_TEXT = re.compile(r"[+-]?(\d[\d_]*\.?[\d_]*|\.\d+)(e[+-]?\d+)?|true|false|nan|[+-]?inf", re.IGNORECASE)
VALUE = re.compile(r"""(?:^|,)(\s*'(?:\\.|[^'\\])*'\s*(?=,|$)|\s*"(?:\\.|[^"\\])*"\s*(?=,|$)|[^,]*)""")
"""One of the values that commas part; a comma in quotes parts nothing."""
FUNCTION = re.compile(r"\w+\(")
PATHS = ("data.root", "data.source.root", "data.cache_dir", "features.weights")
"""Texts that parts take, whose keys are in no schema."""
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
    """Return the arguments as Hydra reads them: options before overrides, and texts that it would misread in quotes.

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
    return [*options, *(_quoted(override, texts, known.multirun) for override in known.overrides)]


def _refuse_option(message: str) -> NoReturn:
    raise UserError(f"{message.splitlines()[0]}; settings are key=value, and --help lists them")


def text_keys(command: str) -> set[str]:
    """Return the keys that hold texts: a command's own, and the paths that its parts take.

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

    model: type[BaseModel] = getattr(schema, f"{command.capitalize()}Config")
    return {*keys(model, ""), *(path for path in PATHS if path.partition(".")[0] in model.model_fields)}


def _quoted(override: str, texts: set[str], sweep: bool) -> str:
    """Quote a text that Hydra would take for a number or a truth value, ``run.name=1``, or cannot read, ``out=it's``.

    What it can read stays as it is. Commas part values where there is a sweep, and wherever Hydra can read them.
    """
    key, equals, value = override.partition("=")
    if not equals or key.lstrip("+") not in texts:
        return override
    values = [f"'{one}'" if NO_TEXT.fullmatch(one) else one for one in VALUE.findall(value)]
    if not _readable(",".join(values)):
        if not sweep:
            values = [_in_quotes(value)]
        elif not FUNCTION.match(value):  # choice(a,b) is for Hydra to read, or to refuse
            values = [one if _readable(one) else _in_quotes(one.strip()) for one in values]
    return f"{key}=" + ",".join(values)


def _readable(value: str) -> bool:
    try:
        OverridesParser.create().parse_override(f"key={value}")
    except HydraException:
        return False
    return True


def _in_quotes(value: str) -> str:
    r"""Put a value in quotes, whatever it holds; one that stands in quotes already stays as it is.

    >>> print(_in_quotes("it's"), _in_quotes("'a'"))
    'it\'s' 'a'
    """
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value
    return str(QuotedString(value, Quote.single).with_quotes())


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
        _compose_jobs(command, overrides)


def _compose_jobs(command: str, overrides: Sequence[str]) -> None:
    """Compose so many of a sweep's jobs that each value occurs in one: a typo in the last would show after hours."""
    from saddlepoint.commands.main import config_directory

    job = list(overrides)
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(config_directory()), version_base="1.3"):
            for job in _jobs(overrides):
                compose(command, job)
    except Exception as error:
        if (line := one_line(error, command, job)) is None:
            raise
        raise UserError(line) from None


def _jobs(overrides: Sequence[str]) -> Iterator[list[str]]:
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())
    values = [_values(o) for o in parser.parse_overrides(list(overrides))]
    first = [choices[0] for choices in values]
    yield first
    for i, choices in enumerate(values):
        for choice in choices[1:]:
            yield [*first[:i], choice, *first[i + 1 :]]


def _values(override: Override) -> list[str]:
    """Return the overrides that one with several values stands for."""
    if override.is_discrete_sweep():
        return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
    return [str(override.input_line)]


def one_line(error: BaseException, command: str, overrides: Sequence[str] | None = None) -> str | None:
    """Return the mistake that a Hydra or OmegaConf error means, or None for any other error.

    Args:
        error: what composing raised.
        command: the command's name.
        overrides: what was typed; by default what Hydra itself reads, the process's arguments.
    """
    text = str(error)
    if isinstance(error, ValueError) and "Config group override must be" in text:
        return "a group was set to nothing; name a choice, or [] for regularizer"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem_mark.name}, line {error.problem_mark.line + 1}: no YAML: {error.problem}"
    if not isinstance(error, HydraException | OmegaConfBaseException):
        return None
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override)
    if match := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(match[1], command, sys.argv[1:] if overrides is None else overrides)
    if match := re.search(r"Could not (?:find|load) '([^']+)/([^'/]*)'", text):  # load: in a group that takes a list
        available = text.partition("Available options in")[2].partition("Config search path")[0]
        return _unknown_choice(match[1], match[2], re.findall(r"^\t(\S+)", available, re.MULTILINE))
    if match := re.search(r"Ambiguous value for argument '(.+)'$", text, re.MULTILINE):
        key = match[1].partition("=")[0]
        tip = f", or put one in quotes: \"{key}='…'\"" if key.lstrip("+") in text_keys(command) else ""
        return f"{match[1]} names several values; add -m to run them all{tip}"
    if match := re.search(r"An item is already at '([^']+)'", text):
        return f"{match[1]} exists already; leave the + out"
    if match := re.search(r"Missing mandatory value: ([\w.]+)", text):
        return f"missing value: say {match[1]}=…"
    if "You must specify" in text or "is not in struct" in text:
        return text.splitlines()[0]
    first = next((line for line in text.splitlines() if line.strip()), type(error).__name__)
    return f"cannot read the command line or the config: {first}"


def _unreadable(override: str) -> str:
    start = f"cannot read the command line or the config: {' '.join(override.split())}; "
    key, equals, value = override.partition("=")
    if not equals:
        return f"{start}settings are key=value, and --help lists them"
    text = value[1:-1] if _in_quotes(value) == value else value
    quoted = QuotedString(text, Quote.single).with_quotes()
    return f'{start}close what it opens, or put a text in quotes: "{key}={quoted}"'


def _unknown_choice(group: str, choice: str, options: list[str]) -> str:
    from saddlepoint.commands.main import config_directory

    options = options or [file.stem for file in (config_directory() / group).glob("*.yaml")]
    hint = did_you_mean(choice, options)
    return f"unknown {group} '{choice}'{hint} (there are: {', '.join(sorted(options)) or 'none'})"


def _unknown_key(key: str, command: str, overrides: Sequence[str]) -> str:
    choices = _choices(overrides)
    known = [one for one in _known_keys(command, choices) if not f"{key}.".startswith(f"{one}.")]
    hint = did_you_mean(key, known)
    if not hint:
        last = {k.rsplit(".", 1)[-1]: k for k in known}
        near = did_you_mean(key.rsplit(".", 1)[-1], last)
        match = re.search(r"'([^']+)'", near)
        ask = f"`{' '.join([command, *choices])} --cfg job` shows the keys" if choices else ""
        hint = f"; did you mean '{last[match[1]]}'?" if match else f"; {ask or f'`{command} --help` lists the keys'}"
    return f"unknown key '{key}'{hint}"


def _choices(overrides: Sequence[str]) -> list[str]:
    """Return those overrides that choose a part: ``model=cgan``."""
    from saddlepoint.commands.main import config_directory

    groups = {path.name for path in config_directory().iterdir() if path.is_dir()}
    return [one for one in overrides if "=" in one and one.partition("=")[0].lstrip("+") in groups]


def _known_keys(command: str, choices: Sequence[str]) -> list[str]:
    """Return the keys that there are with these parts, or, where they do not compose, with the default ones."""
    from saddlepoint.commands.main import config_directory

    for chosen in (choices, []):
        try:
            config = compose_config(command, chosen, str(config_directory()))
            return list(_keys(OmegaConf.to_container(config, resolve=False)))
        except (UserError, HydraException, OmegaConfBaseException):
            continue
    return []


def _keys(node: Any, prefix: str = "") -> Iterator[str]:
    """Yield the keys that hold values, and the groups; what lies between is for nobody to set."""
    if isinstance(node, dict):
        for key, value in node.items():
            if not prefix or not isinstance(value, dict):
                yield f"{prefix}{key}"
            yield from _keys(value, f"{prefix}{key}.")
