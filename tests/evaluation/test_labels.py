from __future__ import annotations

from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from saddlepoint.data import DataModule, Digits
from saddlepoint.evaluation.base import Settings
from saddlepoint.evaluation.labels import CodeJudge, NeighbourJudge, assignment_accuracy, nearest_has_label
from saddlepoint.systems.progress import Progress


class Coder:
    """A system that encodes digits by their first two rows, and reads a code off the mean brightness."""

    device, averages, averaged, networks = torch.device("cpu"), {}, (), {}
    progress = Progress(images_seen=7)

    def encode(self, samples: Tensor, ema: bool = True) -> Tensor:
        return samples[:, :, 2:4].flatten(1)

    def decode(self, codes: Tensor, ema: bool = True) -> Tensor:
        raise AssertionError("not asked for")

    def has_discrete_codes(self) -> bool:
        return True

    def infer_codes(self, samples: Tensor, ema: bool = True) -> Tensor:
        return (samples[:, 0, 3, 3] > 0).long() + 2 * (samples[:, 0, 5, 2] > 0).long()


def test_the_best_assignment_against_all_permutations() -> None:
    random = np.random.default_rng(0)
    inferred, labels = random.integers(0, 4, 60), random.integers(0, 4, 60)
    right, majority = assignment_accuracy(torch.from_numpy(inferred), torch.from_numpy(labels))
    best = max(np.mean(np.array(names)[inferred] == labels) for names in permutations(range(4)))
    assert right.double().mean().item() == best
    assert majority == sum(max(np.sum(labels[inferred == c] == k) for k in range(4)) for c in range(4)) / 60


def test_nearest_label_against_a_double_loop() -> None:
    rows, others = torch.randn(20, 3), torch.randn(30, 3)
    labels, theirs = torch.randint(3, (20,)), torch.randint(3, (30,))
    expected = []
    for row, label in zip(rows, labels, strict=True):
        distances = [float((row.double() - other.double()).norm()) for other in others]
        expected.append(theirs[int(np.argmin(distances))] == label)
    assert nearest_has_label(rows, labels, others, theirs).tolist() == expected


def test_cards_of_digits() -> None:
    data, settings, system = DataModule(Digits()), Settings(n=100), Coder()
    code, neighbour = CodeJudge(data, settings).score(system)[0], NeighbourJudge(data, settings).score(system)[0]  # type: ignore[arg-type]
    held_out, train = data.batch("held_out", 0, 100), data.batch("train", 0, data.info.sizes["train"])
    right, majority = assignment_accuracy(system.infer_codes(held_out.samples), held_out.labels)
    assert (code.metric, code.value, code.n) == ("code_accuracy", right.double().mean().item(), 100)
    assert code.beside == {"majority": majority}
    for averaged in ("encoder", "generator"):
        system.averages = {averaged: None}
        (card,) = CodeJudge(data, settings).score(system)  # type: ignore[arg-type]
        assert card.ema == (averaged == "encoder")
    found = torch.cdist(system.encode(held_out.samples), system.encode(train.samples)).argmin(1)
    assert neighbour.metric == "nearest_neighbour_accuracy"
    assert neighbour.value == (train.labels[found] == held_out.labels).double().mean().item()
    in_pixels = torch.cdist(held_out.samples.flatten(1), train.samples.flatten(1)).argmin(1)
    assert neighbour.beside == {
        "pixels": (train.labels[in_pixels] == held_out.labels).double().mean().item(),
        "among": float(len(train)),
    }
    assert neighbour.reference.startswith("digits/held_out:100@")
    assert (neighbour.features, neighbour.images_seen) == ("codes", 7)
