"""Judges of codes by the labels of the data: what a representation knows of classes that it was never told."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from saddlepoint.evaluation.base import HeldOutJudge
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.metrics.neighbours import nearest_neighbours
from saddlepoint.systems.capabilities import Encodes, InfersCodes
from saddlepoint.systems.game import Game

TRAINING = 20_000
"""Training samples among which neighbours are looked for."""


class CodeJudge(HeldOutJudge):
    """``code_accuracy``: how well a categorical code that a system reads off held-out images names their classes.

    It is the accuracy under the best one-to-one assignment of categories to classes. Beside it stands ``majority``,
    where each category names the class that it has most images of, so that two may name the same.
    """

    def score(self, system: Game) -> list[ScoreCard]:
        """Return the card."""
        assert isinstance(system, InfersCodes)
        begin = time.perf_counter()
        inferred, labels = [], []
        for batch in self.batches():
            assert batch.labels is not None
            inferred.append(system.infer_codes(batch.samples.to(system.device)).cpu())
            labels.append(batch.labels.cpu())
        right, majority = assignment_accuracy(torch.cat(inferred), torch.cat(labels))
        seconds = time.perf_counter() - begin
        return [self.card(system, "code_accuracy", right, seconds, features="codes", beside={"majority": majority})]


class NeighbourJudge(HeldOutJudge):
    """``nearest_neighbour_accuracy``: how often the nearest training sample, in codes, has a held-out sample's class.

    Distances are Euclidean, among the first 20,000 training samples. Beside it stands the same in ``pixels``. An
    untrained encoder comes close to these, too, so read it beside its own value before training.
    """

    def score(self, system: Game) -> list[ScoreCard]:
        """Return the card."""
        assert isinstance(system, Encodes)
        begin = time.perf_counter()
        size = min(TRAINING, self.data.info.sizes["train"])
        (codes, pixels, labels), (own, own_pixels, truth) = (
            self._rows(system, split, count) for split, count in (("train", size), ("held_out", self.n))
        )
        right = nearest_has_label(own, truth, codes, labels)
        in_pixels = float(nearest_has_label(own_pixels, truth, pixels, labels).double().mean())
        seconds, beside = time.perf_counter() - begin, {"pixels": in_pixels, "among": float(size)}
        return [self.card(system, "nearest_neighbour_accuracy", right, seconds, features="codes", beside=beside)]

    def _rows(self, system: Any, split: Any, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return codes [N, Z], pixels [N, D] and labels, long [N]."""
        codes, pixels, labels = [], [], []
        for batch in self.batches(split, count):
            assert batch.labels is not None
            codes.append(system.encode(batch.samples.to(system.device), self.settings.ema).flatten(1).cpu())
            pixels.append(batch.samples.flatten(1).cpu())
            labels.append(batch.labels.cpu())
        return torch.cat(codes), torch.cat(pixels), torch.cat(labels)


def assignment_accuracy(inferred: Tensor, labels: Tensor) -> tuple[Tensor, float]:
    """Return which categories, long [N], name the label under the best one-to-one assignment.

    And the share of those that do where each category names the label it has most of.

    >>> assignment_accuracy(torch.tensor([1, 1, 0, 2]), torch.tensor([0, 0, 1, 1]))
    (tensor([ True,  True,  True, False]), 1.0)
    """
    k = int(max(inferred.max(), labels.max())) + 1
    counts = np.zeros((k, k), dtype=np.int64)
    np.add.at(counts, (inferred.numpy(), labels.numpy()), 1)
    _, names = linear_sum_assignment(counts, maximize=True)
    return torch.from_numpy(names)[inferred] == labels, float(counts.max(1).sum() / len(labels))


def nearest_has_label(rows: Tensor, labels: Tensor, among: Tensor, their_labels: Tensor) -> Tensor:
    """Return whether the nearest of others, [M, D], has the label of each row of [N, D]: bool [N]."""
    _, indices = nearest_neighbours(rows, 1, among=among)
    return their_labels[indices[:, 0]] == labels
