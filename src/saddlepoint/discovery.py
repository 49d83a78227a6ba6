"""Finds the parts that a package's files define, so that adding one is adding a file."""

from __future__ import annotations

import importlib
import inspect
import pkgutil


def parts(package: str, base: type, endings: tuple[str, ...] = ("",)) -> dict[str, type]:
    """Return the public subclasses of ``base`` that the files directly in a package define, by name.

    Args:
        package: its dotted name.
        base: what a part derives from; the class itself is not among them.
        endings: of the parts' names.
    """
    found: dict[str, type] = {}
    for file in sorted(pkgutil.iter_modules(importlib.import_module(package).__path__), key=lambda file: file.name):
        module = importlib.import_module(f"{package}.{file.name}")
        for name, value in vars(module).items():
            ours = inspect.isclass(value) and value.__module__ == module.__name__ and not name.startswith("_")
            if ours and issubclass(value, base) and value is not base and name.endswith(endings):
                found[name] = value
    return found
