"""Settings of runs: those that differ, and short names for combinations of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LISTS = ("regularizer", "augment")
"""Groups that take any number of choices. Hydra does not record these choices, so they are read from the config."""
IGNORED = ("seed", "choices", "run", "logger", "resume", "sweep", "callbacks", "plugins")
"""Keys that do not change what is trained. The seed is a column of its own."""
IGNORED_KEYS = ("data.loader", "data.num_workers", "data.memory_limit_gb", "data.cache_dir", "data.root")
FOUND = ("data.shape", "data.num_classes", "data.columns")
"""What a run has found in its data, with any keys below."""
ABSENT = ("null", "none", "[]")
"""Values of what a run does not have, which names of settings leave out."""
FIRST = ("experiment", "model", "data")
"""Groups whose files choose other groups' options; they come first."""

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Setup:
    """The settings of a run.

    Attributes:
        seed: the run's seed.
        choices: the option chosen for each group, such as ``{"model": "dcgan", "regularizer": "[r1]"}``.
        keys: all other settings by dotted key, such as ``{"network.width": 64}``; references such as ``${data.shape}``
            are not resolved, so a setting that refers to another one does not differ by itself.
    """

    seed: int
    choices: Mapping[str, str]
    keys: Mapping[str, Value]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Setup:
        """Return the settings in the contents of a ``config.yaml``."""
        choices = {str(group): str(choice) for group, choice in config["choices"].items()}
        for group in LISTS:
            parts = config.get(group)
            choices[group] = f"[{','.join(map(str, parts))}]" if isinstance(parts, dict) else "[]"
        keys = {str(key): value for key, value in config.items() if key not in ("seed", "choices")}
        flat = {key: value for key, value in _flat(keys) if key not in choices}  # loss is null with the choice none
        return cls(int(config["seed"]), choices, flat)

    def value(self, name: str) -> Value:
        """Return the value of a group or of a key; None if the run does not have it."""
        return self.choices.get(name, self.keys.get(name))


def _flat(node: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Value]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield f"{prefix}{key}", f"[{', '.join(map(shown, value))}]"
        else:
            yield f"{prefix}{key}", value if isinstance(value, Value) else str(value)


def shown(value: Any) -> str:
    """Return a value as it is written in a config.

    >>> shown(None), shown(True), shown(0.0002), shown("dcgan")
    ('null', 'true', '0.0002', 'dcgan')
    """
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def differing(setups: Sequence[Setup], explicit: Iterable[str] = ()) -> list[str]:
    """Return the groups and keys that tell setups apart, without those that follow from others.

    A setting *follows* from others if it is equal wherever they are: with ``model=dcgan,lsgan``, the loss follows from
    the model. Groups come before keys, and ``experiment``, ``model`` and ``data`` before other groups.

    Args:
        setups: the settings of the runs that are compared.
        explicit: names that were set on a command line, which are kept even if they follow from others.

    Returns:
        The names, without the seed and without settings that do not change what is trained.
    """
    typed, names = set(explicit), all_differing(setups)
    kept: list[str] = [name for name in names if name in typed]
    for name in names:
        if name not in kept and not _follows(name, kept, setups):
            kept.append(name)
    return [name for name in names if name in kept]


def all_differing(setups: Sequence[Setup]) -> list[str]:
    """Return all groups and keys in which setups differ, without the seed and what does not change the training."""
    groups = _ordered({group for setup in setups for group in setup.choices} - {"callbacks", "logger"}, FIRST)
    keys = list(dict.fromkeys(key for setup in setups for key in setup.keys if not _ignored(key)))
    return [name for name in (*groups, *keys) if len({_key(setup, name) for setup in setups}) > 1]


def _ignored(key: str) -> bool:
    found = any(f"{key}.".startswith(f"{name}.") for name in FOUND)
    return found or key in IGNORED_KEYS or key.partition(".")[0] in IGNORED


def _ordered(names: set[str], first: Sequence[str]) -> list[str]:
    return [*(name for name in first if name in names), *sorted(names - set(first))]


def _key(setup: Setup, name: str) -> str:
    return shown(setup.value(name))


def _follows(name: str, others: Sequence[str], setups: Sequence[Setup]) -> bool:
    """Whether setups that agree in ``others`` also agree in ``name``."""
    seen: dict[tuple[str, ...], str] = {}
    return all(
        seen.setdefault(tuple(_key(setup, other) for other in others), _key(setup, name)) == _key(setup, name)
        for setup in setups
    )


def named(overrides: Iterable[str]) -> set[str]:
    """Return the groups and keys that overrides set.

    >>> sorted(named(["model=dcgan", "+network.width=8", "~augment"]))
    ['augment', 'model', 'network.width']
    """
    return {override.partition("=")[0].lstrip("+~") for override in overrides}


def identity(setup: Setup, names: Sequence[str]) -> tuple[str, ...]:
    """Return the values of ``names``, equal for runs with the same settings.

    A group without a choice and a key that a run does not have are null.

    >>> setup = Setup(0, {"augment": "[]"}, {"data.source.label": "none"})
    >>> identity(setup, ["augment", "data.source.label", "model.ema_decay"])
    ('null', 'none', 'null')
    """
    values = (_key(setup, name) for name in names)
    return tuple(
        ABSENT[0] if value in ABSENT and name not in setup.keys else value
        for name, value in zip(names, values, strict=True)
    )


def full_label(setup: Setup, names: Sequence[str]) -> str:
    """Return the values of ``names`` as ``name=value``."""
    return " ".join(f"{name}={_key(setup, name)}" for name in names)


def label(setup: Setup, names: Sequence[str]) -> str:
    """Return a short name for the values of ``names``: the value alone for a single group, else ``name=value``.

    Names whose value is null, ``none`` or an empty list are left out.

    >>> setup = Setup(0, {"model": "dcgan", "augment": "[]"}, {"network.width": 8})
    >>> label(setup, ["model"]), label(setup, ["model", "network.width"]), label(setup, []), label(setup, ["augment"])
    ('dcgan', 'model=dcgan network.width=8', 'dcgan', 'no augment')
    """
    if not names:
        return setup.choices.get("model", "all runs")
    if len(names) == 1 and setup.choices.get(names[0], ABSENT[0]) not in ABSENT:
        return setup.choices[names[0]]
    present = [f"{name}={_key(setup, name)}" for name in names if _key(setup, name) not in ABSENT]
    return " ".join(present) or f"no {', no '.join(names)}"
