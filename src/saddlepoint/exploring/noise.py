"""Samples from noise, optionally of given classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from omegaconf import DictConfig, ListConfig
from torch import Tensor

from saddlepoint.assembly.restore import Restored
from saddlepoint.errors import UserError, choose, suggestion
from saddlepoint.systems.capabilities import Generates

MOST_LISTED = 20
"""Number of classes up to which an error lists their names."""


class Labelled(NamedTuple):
    """Samples and their labels.

    Attributes:
        samples: [N, ...].
        labels: long [N], or None for an unconditional generator.
        columns: number of columns of the grid; None for a square grid.
    """

    samples: Tensor
    labels: Tensor | None
    columns: int | None


def generator(restored: Restored, key: str, remedy: str) -> Generates:
    """Return the system.

    Args:
        restored: the checkpoint.
        key: the setting that is at fault if the system does not generate samples.
        remedy: what to do then.

    Raises:
        UserError: if the system does not generate samples.
    """
    if isinstance(restored.system, Generates):
        return restored.system
    name = restored.about["choices"]["model"]
    raise UserError(f"model={name} does not generate samples from noise", key, remedy)


def draw(config: DictConfig, restored: Restored) -> Labelled:
    """Draw the samples for the settings ``n``, ``labels`` and ``columns``, and return them on the CPU.

    With several ``labels``, the grid has one row per class, with ``columns`` samples each (default: ``n`` divided by
    the number of classes). The samples in a column have the same latents.

    Raises:
        UserError: if the model does not generate samples, is unconditional, or does not have the class.
    """
    key, remedy = ("inputs", "set it to the path of images") if config.mode == "grid" else ("mode", "leave it out")
    system = generator(restored, key, remedy)
    settings = {"seed": config.seed, "truncation": float(config.truncation), "ema": config.ema}
    if config.labels is None and config.mode != "classes":
        samples = system.sample(config.n, **settings)
        return Labelled(samples.cpu(), system.draw_sample_labels(config.seed, 0, config.n), config.columns)
    rows = classes("all" if config.labels is None else config.labels, restored, config.mode)
    columns = config.n if len(rows) == 1 else config.columns or max(1, config.n // len(rows))
    samples = system.sample_classes(rows, columns, **settings)
    labels = torch.tensor(rows).repeat_interleave(columns)
    return Labelled(samples.cpu(), labels, config.columns if len(rows) == 1 else columns)


def one_class(config: DictConfig, restored: Restored, n: int) -> Tensor | None:
    """Return labels of the single class ``labels``, long [n], by default the class of the seed's first sample.

    None if the generator is unconditional.

    Raises:
        UserError: if ``labels`` is not one class of the model.
    """
    system = generator(restored, "mode", "choose reconstruct, or leave it out")
    if config.labels is not None:
        chosen = classes(config.labels, restored, config.mode)
        if len(chosen) > 1:
            raise UserError(f"mode={config.mode} shows one class", "labels", "choose one")
        return torch.full((n,), chosen[0])
    first = system.draw_sample_labels(config.seed, 0, 1)
    return None if first is None else first.repeat(n)


def classes(wanted: str | int | ListConfig, restored: Restored, mode: str) -> list[int]:
    """Return the class numbers for ``labels``, which may be ``all``, or names or numbers of classes.

    Raises:
        UserError: if the generator is unconditional, a class does not exist, or the list is empty.
    """
    if not getattr(restored.system, "num_classes", 0):
        key = "mode" if mode == "classes" else "labels"
        remedy = f"leave {key} out, or train a model with conditioning"
        raise UserError("this generator is unconditional", key, remedy)
    return numbers(wanted, restored.info.class_names or ())


def numbers(wanted: str | int | ListConfig, names: Sequence[str]) -> list[int]:
    """Return the class numbers for ``labels``: a string is one of the given names, an integer a name or a number.

    >>> numbers("all", ("cat", "dog")), numbers(["dog", 0], ("cat", "dog")), numbers(["2", 3], ("1", "2", "3"))
    ([0, 1], [1, 0], [1, 2])

    Raises:
        UserError: if a class does not exist, an integer is the name of one class and the number of another, or the list
            is empty.
    """
    if wanted == "all" and "all" not in names:
        return list(range(len(names)))
    listed = [wanted] if isinstance(wanted, str | int) else list(wanted)
    if not listed:
        raise UserError("the list is empty", "labels", "use all, or names or numbers of classes")
    return [_class(label, names) for label in listed]


def _class(label: str | int, names: Sequence[str]) -> int:
    counted = isinstance(label, int) and 0 <= label < len(names)
    if str(label) in names:
        named = names.index(str(label))
        if counted and named != label:
            problem = f"{label} is the name of class {named}, and the number of class '{names[int(label)]}'"
            examples = " or ".join(f"labels=\"'{name}'\"" for name in (label, names[int(label)]))
            raise UserError(problem, "labels", f"quote the name: {examples}")
        return named
    if isinstance(label, int):
        if counted:
            return label
        raise UserError(f"there is no class {label}", "labels", f"choose from 0 to {len(names) - 1}")
    remedy = choose(label, names) if len(names) <= MOST_LISTED else suggestion(label, names)
    raise UserError(f"there is no class '{label}'", "labels", remedy)
