"""The arguments of classes and functions."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from functools import cache
from typing import Any


@cache
def signature_of(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the named parameters of a class or a function, with evaluated annotations.

    If ``__init__`` takes ``**kwargs``, the parameters of the next class in the method resolution order are included.
    ``self`` and the ``params`` of optimizers are left out.
    """
    if not inspect.isclass(target):
        return _named(target)
    named: dict[str, inspect.Parameter] = {}
    for cls in target.__mro__:
        init = cls.__dict__.get("__init__")
        if init is None:
            continue
        named = _named(init) | named
        if not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(init).parameters.values()):
            break
    return named


def _named(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError:  # an annotation that only type checkers can evaluate
        hints = {}
    parameters = inspect.signature(function).parameters.values()
    return {
        p.name: p.replace(annotation=hints.get(p.name, p.empty))
        for p in parameters
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name not in ("self", "params")
    }
