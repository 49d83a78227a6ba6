"""Overrides: parsing of the command line, quoting of strings, and conversion of Python values to overrides."""

from __future__ import annotations

import argparse
import numbers
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from pydantic import BaseModel

from saddlepoint.config import schema
from saddlepoint.errors import UserError

HELP = "settings are key=value, and --help lists them"

NOT_TEXT = re.compile(r"[+-]?(\d[\d_]*\.?[\d_]*|\.\d+)(e[+-]?\d+)?|true|false|nan|[+-]?inf", re.IGNORECASE)
VALUE = re.compile(r"""(?:^|,)(\s*'(?:\\.|[^'\\])*'\s*(?=,|$)|\s*"(?:\\.|[^"\\])*"\s*(?=,|$)|[^,]*)""")
"""One of several comma-separated values; commas in quotes do not separate."""
FUNCTION = re.compile(r"\w+\(")
PATHS = (
    "data.root",
    "data.a",
    "data.b",
    "data.held_out",
    "data.labels",
    "data.source.root",
    "data.cache_dir",
    "encoder.checkpoint",
    "features.weights",
)
"""Keys of strings that are not in a schema, since they belong to parts."""

FLAGS = ("--help -h", "--hydra-help", "--version", "--run -r", "--multirun -m", "--resolve", "--shell-completion -sc")
WITH_VALUE = ("--config-name -cn", "--config-dir -cd", "--package -p", "--experimental-rerun")
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
"""Hydra's command-line flags (hydra.cc/docs/advanced/hydra-command-line-flags), and what ``--info`` can show."""


@dataclass(frozen=True)
class CommandLine:
    """A command and its arguments.

    Attributes:
        command: the command's name.
        overrides: the overrides, with strings quoted where Hydra would misread them.
        options: Hydra's options, such as ``--cfg job``.
        multirun: whether the command line starts a sweep.
        folder: a folder of additional configs (``--config-dir``).
        config: the config to compose instead of the command's own (``--config-name``).
    """

    command: str
    overrides: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    multirun: bool = False
    folder: str | None = None
    config: str | None = None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(message.splitlines()[0], None, HELP)


def read(command: str, arguments: Sequence[str]) -> CommandLine:
    """Parse a command line. Options may stand before, between or after overrides.

    Raises:
        UserError: if an option is unknown, lacks its value, does not name a folder, or would unpickle a file.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    for names in FLAGS:
        parser.add_argument(*names.split(), action="store_true")
    for names in WITH_VALUE:
        parser.add_argument(*names.split())
    parser.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
    parser.add_argument("--info", "-i", nargs="?", const="all", choices=INFO)
    known = parser.parse_intermixed_args(list(arguments))
    if known.experimental_rerun is not None:
        raise UserError(
            "it unpickles a file, which can run code", "--experimental-rerun", "continue a run with resume=RUN"
        )
    if known.config_dir is not None and not Path(known.config_dir).is_dir():
        raise UserError(f"no such folder: {known.config_dir}", "--config-dir")
    options = list(arguments)
    for override in known.overrides:
        options.remove(override)
    texts = text_keys(command)
    quoted = tuple(_quoted(override, texts, known.multirun) for override in known.overrides)
    return CommandLine(command, quoted, tuple(options), known.multirun, known.config_dir, known.config_name)


def parse(overrides: Iterable[str]) -> list[Override]:
    """Parse overrides by Hydra's grammar.

    Raises:
        hydra.errors.OverrideParseException: if an override cannot be parsed.
    """
    return OverridesParser.create().parse_overrides(list(overrides))


def from_settings(settings: Mapping[str, Any]) -> list[str]:
    """Convert Python values to overrides.

    >>> from_settings({"model": "dcgan", "budget": {"images": 100}, "regularizer": ["r1"], "data.root": None})
    ["model='dcgan'", 'budget.images=100', "regularizer=['r1']", 'data.root=null']

    Raises:
        UserError: if a config cannot hold a value of this type.
    """
    overrides: list[str] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            overrides += from_settings({f"{key}.{inner}": content for inner, content in value.items()})
        else:
            overrides.append(f"{key}={_written(value, key)}")
    return overrides


def _written(value: Any, key: str) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, numbers.Integral):  # NumPy's too
        return repr(int(value))
    if isinstance(value, numbers.Real):
        return repr(float(value))
    if isinstance(value, str | Path):
        return quote(str(value))
    if isinstance(value, list | tuple):
        return f"[{','.join(_written(item, key) for item in value)}]"
    raise UserError(
        f"a config cannot hold a value of type {type(value).__name__}", key, "use strings, numbers, lists or dicts"
    )


def text_keys(command: str) -> set[str]:
    """Return the keys of strings: those in the command's schema, and the paths that are arguments of parts.

    >>> sorted(text_keys("sample"))[:2]
    ['checkpoint', 'direction']
    """

    def keys(model: type[BaseModel], prefix: str) -> Iterator[str]:
        for name, field in model.model_fields.items():
            kind = field.annotation
            if kind in (str, str | None):
                yield prefix + name
            elif isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from keys(kind, f"{prefix}{name}.")

    model = schema.of(command)
    return {*keys(model, ""), *(path for path in PATHS if path.partition(".")[0] in model.model_fields)}


def _quoted(override: str, texts: set[str], sweep: bool) -> str:
    """Quote a string that Hydra would read as a number or a Boolean (``run.name=1``) or cannot parse (``out=it's``).

    Other values that Hydra can parse stay unchanged. Commas separate values in a sweep, and where Hydra can parse them.
    """
    key, equals, value = override.partition("=")
    if not equals or key.lstrip("+") not in texts:
        return override
    values = [f"'{one}'" if NOT_TEXT.fullmatch(one) else one for one in VALUE.findall(value)]
    if not _readable(",".join(values)):
        if not sweep:
            values = [_in_quotes(value)]
        elif not FUNCTION.match(value):  # Hydra parses functions such as choice(a,b)
            values = [one if _readable(one) else _in_quotes(one.strip()) for one in values]
    return f"{key}=" + ",".join(values)


def _readable(value: str) -> bool:
    try:
        OverridesParser.create().parse_override(f"key={value}")
    except HydraException:
        return False
    return True


def _in_quotes(value: str) -> str:
    return value if unquoted(value) != value else quote(value)


def quote(text: str) -> str:
    r"""Quote a string, escaping special characters.

    >>> print(quote("it's"))
    'it\'s'
    """
    return QuotedString(text, Quote.single).with_quotes()


def unquoted(value: str) -> str:
    """Return a value without its surrounding quotes, if any."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
