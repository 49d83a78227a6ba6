"""The folders of YAML files, and the choices of their groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

import saddlepoint


def config_directory() -> Path:
    """Return ``conf/``: beside ``src/`` in a checkout, inside the package when installed."""
    package = Path(saddlepoint.__file__).parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parents[1] / "conf"


def groups(folder: str | None = None) -> set[str]:
    """Return the names of all groups, such as ``model`` and ``experiment/modes``.

    Args:
        folder: the folder of the user's own configs.
    """
    return {
        path.relative_to(source).as_posix()
        for source in _sources(folder)
        for path in source.rglob("*")
        if path.is_dir()
    }


def is_choice(name: str) -> bool:
    """Whether a file of a group is a choice. Files whose names begin with ``_`` hold settings that choices share.

    >>> is_choice("dcgan"), is_choice("_gan"), is_choice("quick/_base")
    (True, False, False)
    """
    return not name.rpartition("/")[2].startswith("_")


def options(group: str, folder: str | None = None) -> list[str]:
    """Return the choices of a group, including those in subfolders, sorted.

    >>> options("norm"), options("experiment")[0]
    (['batch', 'layer', 'none', 'spectral', 'spectral_both'], 'cifar10/biggan')
    """
    places = [source / group for source in _sources(folder)]
    names = {file.relative_to(place).with_suffix("").as_posix() for place in places for file in place.rglob("*.yaml")}
    return sorted(filter(is_choice, names))


def all_options(command: str, folder: str | None = None) -> str:
    """Return the part of ``--help`` on a command's groups, with one line per group; empty if it has none."""
    used = groups(folder) if command == "train" else defaults(command).keys() - {"network"}  # which evaluate ignores
    lines = []
    for group in sorted(used):
        names = [name for name in options(group, folder) if "/" not in name]
        if names and not group.startswith("hydra"):
            lines.append(f"{group}: {', '.join(names)}")
    several = " (a list for groups that take several: regularizer=[a,b])" if command == "train" else ""
    return "\n".join([f"Groups and their choices, group=choice{several}:\n", *lines, "\n"]) if lines else ""


def defaults(config: str) -> dict[str, Any]:
    """Return the default choice of each group of a command's config; a list if the group takes any number of choices.

    >>> defaults("train")["network"], defaults("train")["regularizer"], defaults("evaluate")["data"]
    ('dcgan', [], None)
    """
    file = config_directory() / f"{config}.yaml"
    entries = yaml.safe_load(file.read_text())["defaults"] if file.exists() else []
    chosen = {group: choice for entry in entries if isinstance(entry, dict) for group, choice in entry.items()}
    return {group: choice for group, choice in chosen.items() if not group.startswith("override ")}


def _sources(folder: str | None) -> list[Path]:
    return [config_directory(), *([Path(folder)] if folder is not None else [])]
