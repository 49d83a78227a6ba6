"""A balanced subset of the training data, for systems that are trained on the labels of few samples."""

from __future__ import annotations

import torch
from torch import Tensor

from saddlepoint import randomness, trees
from saddlepoint.data.module import DataModule
from saddlepoint.errors import UserError
from saddlepoint.types import Batch


def labelled_batch(data: DataModule, count: int) -> Batch:
    """Return the training samples of :func:`balanced_rows` with their labels, neither flipped nor jittered.

    Raises:
        UserError: a class has too few samples.
    """
    labels = data.labels("train")
    assert labels is not None
    rows = balanced_rows(labels, data.info.num_classes, count)
    return trees.concatenate(*(data.batch("train", int(row), 1) for row in rows))


def balanced_rows(labels: Tensor, num_classes: int, count: int) -> Tensor:
    """Return rows of which each class has an equal number, drawn at random, long [count].

    The rows depend only on the labels and on ``count``, not on the run's seed, so that all runs have the same subset.
    Larger subsets contain smaller ones. If ``count`` is not a multiple of the number of classes, the first classes have
    one row more than the others.

    Args:
        labels: labels of all rows, long [N].
        num_classes: number K of classes.
        count: number of rows.

    Raises:
        UserError: there are fewer rows than classes, or a class has too few.
    """
    if count < num_classes:
        raise UserError(f"needs at least one sample of each of the {num_classes} classes, got {count}", "labelled")
    chosen = []
    for label in range(num_classes):
        rows = (labels == label).nonzero().squeeze(1)
        wanted = count // num_classes + (label < count % num_classes)
        if len(rows) < wanted:
            problem = f"{count} labels require {wanted} samples of class {label}, which has only {len(rows)}"
            raise UserError(problem, "labelled", "reduce it")
        order = torch.randperm(len(rows), generator=randomness.generator("cpu", 0, "labelled", label))
        chosen.append(rows[order[:wanted]])
    return torch.cat(chosen)
