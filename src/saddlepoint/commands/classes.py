"""Samples by class: which classes ``labels`` names, and the samples of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from omegaconf import DictConfig, ListConfig
from torch import Tensor

from saddlepoint.assembly.restore import Restored
from saddlepoint.errors import UserError, suggestion
from saddlepoint.systems.capabilities import Generates


class Labelled(NamedTuple):
    """Samples [N, ...], their labels, long [N] or None, and the columns of their grid; None for a square."""

    samples: Tensor
    labels: Tensor | None
    columns: int | None


def draw(config: DictConfig, restored: Restored) -> Labelled:
    """Return the samples for ``n``, ``labels`` and ``columns``, on the CPU.

    Each of several ``labels`` has a row of ``columns`` samples, by default so many that there are about ``n`` in all.
    The latents of a column are the same.

    Raises:
        UserError: the generator is unconditional, or there is no such class.
    """
    system = restored.system
    if not isinstance(system, Generates):
        name = restored.about["choices"]["model"]
        raise UserError(f"model={name} does not generate samples from noise", None, "give it images by inputs=PATH")
    settings = {"seed": config.seed, "truncation": float(config.truncation), "ema": config.ema}
    if config.labels is None:
        samples = system.sample(config.n, **settings)
        return Labelled(samples.cpu(), system.draw_sample_labels(config.seed, 0, config.n), config.columns)
    if not system.num_classes:
        raise UserError(
            "this generator is unconditional", "labels", "leave labels out, or train a model with conditioning"
        )
    rows = classes(config.labels, restored.info.class_names or ())
    columns = config.n if len(rows) == 1 else config.columns or max(1, config.n // len(rows))
    samples = system.sample_classes(rows, columns, **settings)
    labels = torch.tensor(rows).repeat_interleave(columns)
    return Labelled(samples.cpu(), labels, config.columns if len(rows) == 1 else columns)


def classes(wanted: str | int | ListConfig, names: Sequence[str]) -> list[int]:
    """Return the numbers of the classes that ``labels`` names: ``all``, or names or numbers of classes.

    >>> classes("all", ("cat", "dog")), classes(["dog", 0], ("cat", "dog"))
    ([0, 1], [1, 0])

    Raises:
        UserError: there is no such class, or none was named.
    """
    if wanted == "all" and "all" not in names:
        return list(range(len(names)))
    listed = [wanted] if isinstance(wanted, str | int) else list(wanted)
    if not listed:
        raise UserError("no class is named", "labels", "use all, or names or numbers of classes")
    return [_class(label, names) for label in listed]


def _class(label: str | int, names: Sequence[str]) -> int:
    if label in names:
        return names.index(str(label))
    if isinstance(label, int):
        if 0 <= label < len(names):
            return label
        raise UserError(f"there is no class {label}", "labels", f"choose from 0 to {len(names) - 1}")
    raise UserError(f"there is no class '{label}'", "labels", suggestion(label, names))
