"""The classes that a config may name by ``_target_``: a fixed list, and the classes of trusted packages."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch

import saddlepoint.augment
import saddlepoint.data
import saddlepoint.losses
import saddlepoint.metrics.features
import saddlepoint.networks
import saddlepoint.regularizers
import saddlepoint.systems
from saddlepoint.errors import UserError, suggestion
from saddlepoint.schedules import Ramp

Target = Callable[..., Any]

PART_PACKAGES = (
    saddlepoint.augment,
    saddlepoint.data,
    saddlepoint.losses,
    saddlepoint.metrics.features,
    saddlepoint.networks,
    saddlepoint.regularizers,
    saddlepoint.systems,
)


@cache
def allowed_targets() -> dict[str, Target]:
    """Return the classes that any config may name.

    They are those exported by the packages of parts, :class:`~saddlepoint.schedules.Ramp` and torch's optimizers.
    """
    exported = (
        (f"{package.__name__}.{name}", getattr(package, name)) for package in PART_PACKAGES for name in package.__all__
    )
    parts: dict[str, Target] = {
        name: value for name, value in exported if inspect.isclass(value) and not inspect.isabstract(value)
    }
    optimizers: dict[str, Target] = {
        f"torch.optim.{name}": value
        for name, value in vars(torch.optim).items()
        if inspect.isclass(value) and issubclass(value, torch.optim.Optimizer) and value is not torch.optim.Optimizer
    }
    return parts | optimizers | {"saddlepoint.schedules.Ramp": Ramp}


def resolve_target(target: Any, plugins: Sequence[str] = (), key: str | None = None) -> Target:
    """Return the class that a ``_target_`` names.

    Args:
        target: the dotted name.
        plugins: trusted packages.
        key: the part's key in the config, for the error.

    Raises:
        UserError: if the class is neither in the list nor defined in one of the plugins.
    """
    allowed = allowed_targets()
    if target in allowed:
        return allowed[target]
    where = None if key is None else f"{key}._target_"
    if isinstance(target, str) and any(target.startswith(f"{plugin}.") for plugin in plugins):
        return _imported(target, where)
    remedy = "add its package to plugins=[…] if you trust it"
    if str(target).startswith(("saddlepoint.", "torch.optim.")):
        remedy = suggestion(str(target), allowed) or "choose another"
    raise UserError(f"target '{target}' is not allowed", where, remedy)


def _imported(target: str, key: str | None) -> Target:
    """Import a class from a trusted package; classes that the package only imports from elsewhere are not trusted."""
    module, _, name = target.rpartition(".")
    try:
        found: Target = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"target '{target}' cannot be imported ({error})", key) from None
    package = target.partition(".")[0]
    if str(getattr(found, "__module__", "")).partition(".")[0] != package:
        raise UserError(
            f"target '{target}' is not allowed: it is not defined in {package}", key, "name the package that defines it"
        )
    return found
