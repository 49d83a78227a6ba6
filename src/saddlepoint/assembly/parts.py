"""Instantiates single parts of a config, and maps their errors to keys of the config."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from saddlepoint.config.references import followed
from saddlepoint.config.signatures import signature_of
from saddlepoint.config.targets import resolve_target
from saddlepoint.errors import UserError

GROUPS = {"loss": "loss", "regularizer": "regularizers", "augment": "augments"}
"""Groups of parts that a system may take, with the names of its arguments for them."""

SHOWN_AS = {"data.shape": "data.image_size", "data.columns": "data.image_size"}
"""Keys that are set when the data are inspected, with the keys that users set instead."""


def part(node: DictConfig, plugins: Sequence[str], **provided: Any) -> Any:
    """Instantiate a part, without the keys that are only referred to by other parts."""
    content = arguments_of(node, plugins)
    try:
        if not provided:
            return instantiate(content, _convert_="all")
        # Arguments of instantiate are treated as configs, so these are passed to the partial object instead.
        return instantiate(content, _convert_="all", _partial_=True)(**provided)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        raise UserError(f"cannot build {node.get('_target_')}: {cause}") from error


def arguments_of(node: DictConfig, plugins: Sequence[str]) -> Any:
    """Return a part's ``_target_`` and arguments as plain containers, resolved.

    Raises:
        UserError: a resolved value is an interpolation again, which Hydra would resolve although it was never checked.
    """
    return _stripped(OmegaConf.to_container(node, resolve=True), plugins)


def _stripped(node: Any, plugins: Sequence[str]) -> Any:
    if isinstance(node, str) and "${" in node:
        raise UserError(f"'{node}' is an interpolation that is composed of others", None, "write the value itself")
    if isinstance(node, list):
        return [_stripped(value, plugins) for value in node]
    if not isinstance(node, dict):
        return node
    if "_target_" in node:
        target = resolve_target(node["_target_"], plugins)
        partial = inspect.isclass(target) and issubclass(target, torch.optim.Optimizer)  # params follow later
        known = signature_of(target).keys() | {"_target_", *(["_partial_"] if partial else [])}
        node = {key: value for key, value in node.items() if key in known}
    return {key: _stripped(value, plugins) for key, value in node.items()}


def located(error: UserError, path: str, raw: Any) -> UserError:
    """Return a part's error with the config key that the user has to set.

    A part sets the error's key to one of its own arguments, or to ``role.argument`` for a network. If the argument is
    an interpolation (``norm: ${norm.discriminator}``), the key is the one that it refers to.

    Args:
        error: the error raised by the part.
        path: the part's key in the config.
        raw: the config as plain containers, unresolved.
    """
    argument, _, rest = (error.key or "").partition(".")
    groups = {argument: group for group, argument in GROUPS.items()} | {
        "networks": "network",
        "optimizers": "optimizer",
    }
    if not argument:
        key = path
    elif argument in (raw.get("network") or {}):
        key = f"network.{error.key}"
    elif path == "model" and argument in groups:
        key = ".".join(filter(None, (groups[argument], rest)))
    elif path == "model" and argument in ("schedule", "gradient_clip"):
        key = f"optimizer.{argument}"
    else:
        key = f"{path}.{error.key}"
    key = followed(raw, key)
    return error.at(SHOWN_AS.get(".".join(key.split(".")[:2]), key))
