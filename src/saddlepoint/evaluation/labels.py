"""Judges that compare codes with the data's labels, which the system was not trained on."""

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
"""Number of training samples that are searched for neighbours."""


class CodeJudge(HeldOutJudge):
    """``code_accuracy``: how well the categorical code that a system infers from held-out images predicts their class.

    It is the accuracy under the best one-to-one assignment of categories to classes. The card's ``majority`` is the
    accuracy if each category predicts its most frequent class, so that several categories may predict the same one.
    """

    names = ("code_accuracy",)

    def score(self, system: Game) -> list[ScoreCard]:
        """Return the card."""
        assert isinstance(system, InfersCodes)
        begin = time.perf_counter()
        inferred, labels = [], []
        for batch in self.batches():
            assert batch.labels is not None
            inferred.append(system.infer_codes(batch.samples.to(system.device), self.settings.ema).cpu())
            labels.append(batch.labels.cpu())
        right, majority = assignment_accuracy(torch.cat(inferred), torch.cat(labels))
        seconds = time.perf_counter() - begin
        about = {
            "features": "codes",
            "beside": {"majority": majority},
            "ema": self.settings.ema and "encoder" in system.averages,  # InfoGAN's networks that infer codes have none
        }
        return [self.card(system, "code_accuracy", right, seconds, **about)]


class NeighbourJudge(HeldOutJudge):
    """``nearest_neighbour_accuracy``: how often a held-out sample and the nearest training sample have the same class.

    Distances are Euclidean, between codes; the first 20,000 training samples are searched. The card's ``pixels`` is
    the same accuracy for distances between pixels. The codes of an untrained encoder nearly reach that, too, so the
    score is to be compared with its value before training.
    """

    names = ("nearest_neighbour_accuracy",)

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
    """Return the accuracy of categories as predictions of labels.

    Args:
        inferred: categories, long [N].
        labels: long [N].

    Returns:
        Whether each category predicts the label under the best one-to-one assignment, bool [N]; and the fraction that
        do if each category predicts its most frequent label.

    >>> assignment_accuracy(torch.tensor([1, 1, 0, 2]), torch.tensor([0, 0, 1, 1]))
    (tensor([ True,  True,  True, False]), 1.0)
    """
    k = int(max(inferred.max(), labels.max())) + 1
    counts = np.zeros((k, k), dtype=np.int64)
    np.add.at(counts, (inferred.numpy(), labels.numpy()), 1)
    _, names = linear_sum_assignment(counts, maximize=True)
    return torch.from_numpy(names)[inferred] == labels, float(counts.max(1).sum() / len(labels))


def nearest_has_label(rows: Tensor, labels: Tensor, among: Tensor, their_labels: Tensor) -> Tensor:
    """Return whether the nearest of ``among`` [M, D] has the same label, for each of ``rows`` [N, D]: bool [N]."""
    _, indices = nearest_neighbours(rows, 1, among=among)
    return their_labels[indices[:, 0]] == labels
