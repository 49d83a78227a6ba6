"""LeCam's value, and the recursion of its anchors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from saddlepoint.errors import UserError
from saddlepoint.regularizers import LeCam
from saddlepoint.turns import Turn
from saddlepoint.types import CriticOutput


def turn(step: int, player: str = "discriminator") -> Turn:
    random = np.random.default_rng(step)
    outputs = {}
    for name, offset in (("real", 1.0), ("fake", -2.0)):
        logits = torch.tensor(random.normal(offset, 1.0, 6), dtype=torch.float32, requires_grad=True)
        outputs[name] = CriticOutput(logits, logits[:, None])
    return Turn(loss=torch.zeros(()), networks={}, random=torch.Generator(), outputs=outputs, players=(player,))


def test_value_gradient_and_recursion() -> None:
    part = LeCam(weight=0.4, decay=0.8)
    anchors = None
    for step in range(5):
        record = turn(step)
        real, fake = (record.outputs[kind].logits.detach().numpy().astype(float) for kind in ("real", "fake"))
        anchors = anchors or (real.mean(), fake.mean())
        penalty = part.penalty(record)
        expected = 0.4 * (((real - anchors[1]) ** 2).mean() + ((fake - anchors[0]) ** 2).mean())
        np.testing.assert_allclose(penalty.item(), expected, rtol=1e-5)
        penalty.backward()
        np.testing.assert_allclose(record.outputs["real"].logits.grad, 0.8 * (real - anchors[1]) / 6, rtol=1e-4)
        with torch.no_grad():
            part.observe(record)
            part.observe(turn(99, "generator"))
        if step:
            anchors = (0.8 * anchors[0] + 0.2 * real.mean(), 0.8 * anchors[1] + 0.2 * fake.mean())
        np.testing.assert_allclose(part.anchors, anchors, rtol=1e-5)
    other = LeCam(weight=0.4, decay=0.8)
    other.load_state_dict(part.state_dict())
    assert torch.equal(other.penalty(turn(7)), part.penalty(turn(7)))


def test_scores_of_patches_are_averaged() -> None:
    record = turn(0)
    logits = torch.tensor([[[[1.0, 3.0]]], [[[0.0, 4.0]]]])
    record.outputs = dict.fromkeys(("real", "fake"), CriticOutput(logits, logits))
    assert LeCam().penalty(record).item() == 0.0  # each sample's mean equals the mean over all samples


def test_a_turn_without_outputs_on_real_samples_is_rejected() -> None:
    record = turn(0)
    record.outputs = {"fake": record.outputs["fake"]}
    with pytest.raises(
        UserError, match=r"^player: LeCam needs the critic's output on real samples, and the turn of discriminator"
    ):
        LeCam().penalty(record)
