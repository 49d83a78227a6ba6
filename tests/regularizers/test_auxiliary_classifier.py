"""The classification loss of AC-GAN against its definition."""

import numpy as np
import pytest
import torch
from torch import nn

from saddlepoint.errors import UserError
from saddlepoint.networks import MLPDiscriminator
from saddlepoint.regularizers import AuxiliaryClassifier
from saddlepoint.turns import Turn
from saddlepoint.types import CriticOutput

LABELS = torch.tensor([0, 2, 1, 1])


def turn(labels: torch.Tensor | None = LABELS) -> Turn:
    random = torch.Generator().manual_seed(0)
    outputs = {
        key: CriticOutput(torch.zeros(4), torch.zeros(4, 2), torch.randn(4, 3, generator=random).requires_grad_())
        for key in ("real", "fake")
    }
    return Turn(torch.zeros(()), {}, random, labels=labels, outputs=outputs)


def log_likelihood(output: CriticOutput) -> float:
    """Return E log P(C = c | X)."""
    scores = output.class_logits.detach().double().numpy()
    chosen = [row[c] - np.log(np.exp(row).sum()) for row, c in zip(scores, LABELS.tolist(), strict=True)]
    return float(np.mean(chosen))


def test_the_discriminators_penalty_is_on_real_and_generated_samples() -> None:
    record = turn()
    penalty = AuxiliaryClassifier(weight=0.5).penalty(record)
    expected = -0.5 * (log_likelihood(record.outputs["real"]) + log_likelihood(record.outputs["fake"]))
    assert penalty.item() == pytest.approx(expected, rel=1e-6)
    for key in ("real", "fake"):
        right = record.outputs[key].class_logits.argmax(1) == LABELS
        assert record.logs[f"class_accuracy_{key}"] == right.float().mean()


def test_the_generators_penalty_is_on_generated_samples() -> None:
    record = turn()
    penalty = AuxiliaryClassifier(player="generator").penalty(record)
    assert penalty.item() == pytest.approx(-log_likelihood(record.outputs["fake"]), rel=1e-6)
    penalty.backward()
    assert record.outputs["real"].class_logits.grad is None
    scores = record.outputs["fake"].class_logits
    expected = (scores.detach().softmax(1) - nn.functional.one_hot(LABELS, 3)) / 4
    torch.testing.assert_close(scores.grad, expected)


def test_a_missing_classifier_or_missing_labels_are_rejected() -> None:
    plain, classifying = MLPDiscriminator((2,)), MLPDiscriminator((2,), conditioning="auxiliary", num_classes=3)
    part = AuxiliaryClassifier()
    part.check({"generator": nn.Linear(1, 1), "discriminator": classifying})
    with pytest.raises(
        UserError,
        match=r"^discriminator.conditioning: .* needs a discriminator with .* classifier; set it to auxiliary$",
    ):
        part.check({"generator": nn.Linear(1, 1), "discriminator": plain})
    with pytest.raises(UserError, match="needs labels and class logits of real samples; choose data with labels"):
        part.penalty(turn(None))
