from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from saddlepoint.systems.stepping import NonFiniteError, Stepper, non_finite

BAD = [math.nan, math.inf, -math.inf]


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("place", [(0, 0), (1, 12), (2, 4095)])
def test_one_bad_value_anywhere_is_found(value: float, place: tuple[int, int]) -> None:
    gradients = [torch.randn(3, 1), torch.randn(1, 13), torch.randn(64, 4, 4, 4).to(memory_format=torch.channels_last)]
    assert not non_finite(torch.tensor(1.0), gradients)
    index = torch.unravel_index(torch.tensor(place[1]), gradients[place[0]].shape)
    gradients[place[0]][index] = value
    assert non_finite(torch.tensor(1.0), gradients).item() == 1.0


@pytest.mark.parametrize("value", BAD)
def test_a_bad_loss_is_found(value: float) -> None:
    assert non_finite(torch.tensor(value), []).item() == 1.0
    assert non_finite(torch.tensor(value), [torch.ones(2)]).item() == 1.0


def test_finite_gradients_are_left_as_they_are_whatever_their_size() -> None:
    gradients = [torch.tensor([3e38, -3e38, 1e-45, 0.0]), torch.randn(100, generator=torch.Generator().manual_seed(0))]
    before = [gradient.clone() for gradient in gradients]
    assert non_finite(torch.tensor(3e38), gradients).item() == 0.0
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(gradients, before, strict=True))


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_fault_never_reaches_the_weights_nor_the_optimizers_state(value: float, where: str) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters(), fused=True)
    stepper, parameters = Stepper(), list(layer.parameters())
    stepper.backward(layer(torch.ones(4, 3)).sum())
    stepper.step("discriminator", optimizer, parameters, torch.tensor(1.0))
    before = [parameter.detach().clone() for parameter in parameters]
    moments = [optimizer.state[parameter]["exp_avg"].clone() for parameter in parameters]
    loss = torch.tensor(value if where == "loss" else 1.0)
    if where == "gradient":
        assert parameters[1].grad is not None
        parameters[1].grad[0] = value
    for clip in (None, 1.0):
        with pytest.raises(NonFiniteError, match="the discriminator's loss or gradient is not finite"):
            stepper.step("discriminator", optimizer, parameters, loss, clip)
    assert all(torch.equal(p, old) for p, old in zip(parameters, before, strict=True))
    assert all(torch.equal(optimizer.state[p]["exp_avg"], old) for p, old in zip(parameters, moments, strict=True))


def test_the_norm_is_computed_for_clipping_alone() -> None:
    layer = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    parameters = list(layer.parameters())
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 2.0)
    assert Stepper().step("generator", optimizer, parameters, torch.tensor(0.0)) is None
    norm = Stepper().step("generator", optimizer, parameters, torch.tensor(0.0), clip=1.0)
    assert norm is not None
    assert norm.item() == pytest.approx(2 * math.sqrt(8))
