"""Samples by class: which classes a user means, and the table of samples that he gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from omegaconf import DictConfig, ListConfig
from torch import Tensor

from saddlepoint.commands.restore import Restored
from saddlepoint.errors import UserError, did_you_mean


class Labelled(NamedTuple):
    """Samples [N, ...], their labels, long [N] or None, and how many make a row of their grid; None for a square."""

    samples: Tensor
    labels: Tensor | None
    columns: int | None


def draw(config: DictConfig, restored: Restored) -> Labelled:
    """Draw what ``n``, ``labels`` and ``columns`` ask for, on the CPU.

    With several ``labels`` each makes a row of ``columns`` samples, or of so many that there are about ``n`` in all,
    and the latents of a column are the same.

    Raises:
        UserError: labels of an unconditional generator, or of no class.
    """
    system = restored.system
    settings = {"seed": config.seed, "truncation": float(config.truncation), "ema": config.ema}
    if config.labels is None:
        samples = system.sample(config.n, **settings)
        return Labelled(samples.cpu(), system.draw_sample_labels(config.seed, 0, config.n), config.columns)
    if not system.num_classes:
        raise UserError(
            f"labels={config.labels}: this generator is unconditional; leave labels out, or train with conditioning="
        )
    rows = classes(config.labels, restored.info.class_names or ())
    columns = config.n if len(rows) == 1 else config.columns or max(1, config.n // len(rows))
    samples = system.sample_classes(rows, columns, **settings)
    labels = torch.tensor(rows).repeat_interleave(columns)
    return Labelled(samples.cpu(), labels, config.columns if len(rows) == 1 else columns)


def classes(wanted: str | int | ListConfig, names: Sequence[str]) -> list[int]:
    """Return the classes' numbers that ``labels=`` means: ``all``, or names or numbers of classes.

    >>> classes("all", ("cat", "dog")), classes(["dog", 0], ("cat", "dog"))
    ([0, 1], [1, 0])

    Raises:
        UserError: there is no such class, or none was named.
    """
    if wanted == "all" and "all" not in names:
        return list(range(len(names)))
    listed = [wanted] if isinstance(wanted, str | int) else list(wanted)
    if not listed:
        raise UserError("labels=[] names no class; say labels=all, or names or numbers of classes")
    return [_class(label, names) for label in listed]


def _class(label: str | int, names: Sequence[str]) -> int:
    if label in names:
        return names.index(str(label))
    if isinstance(label, int):
        if 0 <= label < len(names):
            return label
        raise UserError(f"labels: there is no class {label}; there are 0 … {len(names) - 1}")
    raise UserError(f"labels: there is no class '{label}'{did_you_mean(label, names)}")
