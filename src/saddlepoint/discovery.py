"""Automatic discovery of the classes that the modules of a package define."""

from __future__ import annotations

import importlib
import inspect
import pkgutil


def parts(package: str, base: type, endings: tuple[str, ...] = ("",)) -> dict[str, type]:
    """Return the public subclasses of ``base`` that are defined in the modules of a package, by name.

    Subpackages are not searched.

    Args:
        package: dotted name of the package.
        base: base class, which is not included.
        endings: suffixes of class names; classes with other names are not included.
    """
    found: dict[str, type] = {}
    for file in sorted(pkgutil.iter_modules(importlib.import_module(package).__path__), key=lambda file: file.name):
        module = importlib.import_module(f"{package}.{file.name}")
        for name, value in vars(module).items():
            ours = inspect.isclass(value) and value.__module__ == module.__name__ and not name.startswith("_")
            if ours and issubclass(value, base) and value is not base and name.endswith(endings):
                found[name] = value
    return found
