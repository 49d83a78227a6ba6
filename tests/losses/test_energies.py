"""EBGAN and BEGAN against their formulas, BEGAN's control against values by hand, and required kinds of critics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from saddlepoint.errors import UserError
from saddlepoint.losses import BEGAN, EBGAN, AdversarialLoss, Hinge, RelativisticAverage
from saddlepoint.networks import AutoencoderDiscriminator, BEGANDiscriminator, MLPDiscriminator
from saddlepoint.turns import Turn
from saddlepoint.types import CriticOutput


def output(energies: Any) -> CriticOutput:
    tensor = torch.as_tensor(energies)
    return CriticOutput(tensor, torch.zeros(len(tensor), 1))


def turn(player: str, **energies: list[float]) -> Turn:
    outputs = {name: output(torch.tensor(values)) for name, values in energies.items()}
    return Turn(torch.zeros(()), {}, torch.Generator(), players=(player,), outputs=outputs)


def test_ebgan_value_and_gradient() -> None:
    real = torch.tensor([1.0, 4.0, 0.5], requires_grad=True)
    fake = torch.tensor([1.5, 3.5, 2.0, 9.0], requires_grad=True)
    loss = EBGAN(margin=3.0)
    value = loss.discriminator(output(real), output(fake))
    value.backward()
    assert value.item() == pytest.approx((1 + 4 + 0.5) / 3 + ((3 - 1.5) + 0 + (3 - 2) + 0) / 4, rel=1e-6)
    np.testing.assert_allclose(real.grad, [1 / 3] * 3, rtol=1e-6)
    np.testing.assert_allclose(fake.grad, [-0.25, 0, -0.25, 0])  # zero beyond the margin
    assert loss.generator(output(fake.detach())).item() == pytest.approx(16 / 4)


def test_began_value_and_gradient() -> None:
    loss = BEGAN()
    loss.k.fill_(0.3)
    real, fake = torch.tensor([1.0, 3.0], requires_grad=True), torch.tensor([2.0, 6.0], requires_grad=True)
    value = loss.discriminator(output(real), output(fake))
    value.backward()
    assert value.item() == pytest.approx(2.0 - 0.3 * 4.0)
    np.testing.assert_allclose(real.grad, [0.5, 0.5])
    np.testing.assert_allclose(fake.grad, [-0.15, -0.15], rtol=1e-6)
    assert loss.generator(output(fake.detach())).item() == pytest.approx(4.0)


def test_began_control_and_convergence_by_hand() -> None:
    """γ = 0.5, λ = 0.1. Round 1: L(x)=4, L(G)=1: k = 0 + 0.1(2 - 1) = 0.1, M = 4 + 1 = 5.

    Round 2, with two turns of D: L(x)=2, then 3, L(G)=3: k = 0.1 + 0.1(1.5 - 3) → 0, clipped, M = 3 + 1.5.
    Round 3: L(x)=40, L(G)=2: k = 0.1·18 → 1, clipped, M = 40 + 18.
    """
    loss = BEGAN(gamma=0.5, rate=0.1)
    rounds = [([[3.0, 5.0]], [1.0, 1.0], 0.1, 5.0), ([[2.0], [3.0]], [3.0], 0.0, 4.5), ([[40.0]], [2.0], 1.0, 58.0)]
    for reals, fake, k, measure in rounds:
        before = loss.k.item()
        for real in reals:
            loss.observe(turn("discriminator", real=real, fake=[7.0]))
            assert loss.k.item() == before  # k is updated only after turns of G
        record = turn("generator", fake=fake)
        loss.observe(record)
        assert loss.k.item() == pytest.approx(k, abs=1e-6)
        assert record.logs["convergence"].item() == pytest.approx(measure)
        assert record.logs["k"].item() == pytest.approx(k, abs=1e-6)


def test_began_state_is_saved_and_restored() -> None:
    loss, other = BEGAN(), BEGAN()
    loss.observe(turn("discriminator", real=[4.0]))
    loss.observe(turn("generator", fake=[1.0]))
    assert set(loss.state_dict()) == {"k", "real_energy"}
    other.load_state_dict(loss.state_dict())
    for each in (loss, other):
        each.observe(turn("generator", fake=[0.5]))  # uses the stored energy of real samples
    assert loss.k.item() == other.k.item() == pytest.approx(0.001 * 1 + 0.001 * 1.5)


@pytest.mark.parametrize("loss", [EBGAN(), BEGAN()])
def test_energy_losses_reject_scores_and_accept_energies(loss: AdversarialLoss) -> None:
    loss.check({"discriminator": AutoencoderDiscriminator((2,), 4)})
    loss.check({"discriminator": BEGANDiscriminator((1, 8, 8), 2)})
    with pytest.raises(
        UserError, match=r"needs a discriminator that returns energies, and MLPDisc.*; use an autoencoder"
    ):
        loss.check({"discriminator": MLPDiscriminator((2,), [4])})


def test_every_discriminator_is_checked() -> None:
    scores, energies = MLPDiscriminator((2,), [4]), AutoencoderDiscriminator((2,), 4)
    EBGAN().check({"generator": scores, "discriminator_a": energies, "discriminator_b": energies})
    with pytest.raises(UserError, match=r"returns energies, and MLPDiscriminator returns scores"):
        EBGAN().check({"discriminator_a": energies, "discriminator_b": scores})
    with pytest.raises(UserError, match=r"returns scores, and AutoencoderDiscriminator returns energies"):
        Hinge().check({"discriminator": scores, "category_discriminator": energies})


@pytest.mark.parametrize("loss", [Hinge(), RelativisticAverage()])
def test_score_losses_reject_energies(loss: AdversarialLoss) -> None:
    with pytest.raises(
        UserError, match=r"needs a discriminator that returns scores, and AutoencoderDiscriminator returns"
    ):
        loss.check({"discriminator": AutoencoderDiscriminator((2,), 4)})


def test_half_precision_energies_are_averaged_in_float32() -> None:
    energies = output(torch.full((1000,), 300.0, dtype=torch.float16))
    for loss in (EBGAN(), BEGAN()):
        assert loss.generator(energies).dtype == torch.float32
        assert loss.generator(energies).item() == 300.0
