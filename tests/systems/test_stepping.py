from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from saddlepoint.systems.stepping import NonFiniteError, Stepper, average_over_ranks, non_finite

BAD = [math.nan, math.inf, -math.inf]


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("place", [(0, 0), (1, 12), (2, 4095)])
def test_one_non_finite_gradient_value_is_detected(value: float, place: tuple[int, int]) -> None:
    gradients = [torch.randn(3, 1), torch.randn(1, 13), torch.randn(64, 4, 4, 4).to(memory_format=torch.channels_last)]
    assert not non_finite(torch.tensor(1.0), gradients)
    index = torch.unravel_index(torch.tensor(place[1]), gradients[place[0]].shape)
    gradients[place[0]][index] = value
    assert non_finite(torch.tensor(1.0), gradients).item() == 1.0


@pytest.mark.parametrize("value", BAD)
def test_a_non_finite_loss_is_detected(value: float) -> None:
    assert non_finite(torch.tensor(value), []).item() == 1.0
    assert non_finite(torch.tensor(value), [torch.ones(2)]).item() == 1.0


def test_finite_gradients_of_any_size_are_not_changed() -> None:
    gradients = [torch.tensor([3e38, -3e38, 1e-45, 0.0]), torch.randn(100, generator=torch.Generator().manual_seed(0))]
    before = [gradient.clone() for gradient in gradients]
    assert non_finite(torch.tensor(3e38), gradients).item() == 0.0
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(gradients, before, strict=True))


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_non_finite_values_do_not_change_weights_or_optimizer_state(value: float, where: str) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters(), fused=True)
    stepper, parameters = Stepper(), list(layer.parameters())
    stepper.backward(layer(torch.ones(4, 3)).sum())
    stepper.step("discriminator", [optimizer], [parameters], torch.tensor(1.0), [None])
    before = [parameter.detach().clone() for parameter in parameters]
    moments = [optimizer.state[parameter]["exp_avg"].clone() for parameter in parameters]
    loss = torch.tensor(value if where == "loss" else 1.0)
    if where == "gradient":
        assert parameters[1].grad is not None
        parameters[1].grad[0] = value
    for clip in (None, 1.0):
        with pytest.raises(NonFiniteError, match="the discriminator's loss or gradient is not finite"):
            stepper.step("discriminator", [optimizer], [parameters], loss, [clip])
    assert all(torch.equal(p, old) for p, old in zip(parameters, before, strict=True))
    assert all(torch.equal(optimizer.state[p]["exp_avg"], old) for p, old in zip(parameters, moments, strict=True))


def test_the_norm_is_computed_only_for_clipping() -> None:
    layer = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    parameters = list(layer.parameters())
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 2.0)
    assert Stepper().step("generator", [optimizer], [parameters], torch.tensor(0.0), [None]) == [None]
    (norm,) = Stepper().step("generator", [optimizer], [parameters], torch.tensor(0.0), [1.0])
    assert norm is not None
    assert norm.item() == pytest.approx(2 * math.sqrt(8))


def test_players_step_together_and_are_clipped_separately() -> None:
    first, second = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
    first.grad, second.grad = torch.tensor([3.0, 4.0]), torch.tensor([0.5])
    optimizers = [torch.optim.SGD([first], lr=1.0), torch.optim.SGD([second], lr=10.0)]
    norms = Stepper().step("a+b", optimizers, [[first], [second]], torch.tensor(0.0), [1.0, 1.0])
    assert [norm.item() for norm in norms if norm is not None] == [5.0, 0.5]
    np.testing.assert_allclose(first.detach(), [-0.6, -0.8], rtol=1e-5)
    np.testing.assert_allclose(second.detach(), [-5.0])
    assert Stepper().step("a+b", optimizers, [[first], [second]], torch.tensor(0.0), [None, 1.0])[0] is None


def test_a_non_finite_gradient_of_one_player_stops_the_others() -> None:
    first, second = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
    first.grad, second.grad = torch.ones(2), torch.tensor([math.nan])
    optimizers = [torch.optim.SGD([parameter], lr=1.0) for parameter in (first, second)]
    with pytest.raises(NonFiniteError, match=r"the a\+b's loss or gradient is not finite"):
        Stepper().step("a+b", optimizers, [[first], [second]], torch.tensor(0.0), [None, None])
    assert first.tolist() == [0, 0]


def test_gradients_are_unscaled_once_and_an_overflow_skips_only_its_player() -> None:
    """As in PyTorch for several optimizers with one gradient scaler."""
    first, second = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(1))
    optimizers = [torch.optim.SGD([parameter], lr=1.0) for parameter in (first, second)]
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    stepper = Stepper(scaler)
    for large in (False, True):
        for optimizer in optimizers:
            optimizer.zero_grad()
        stepper.backward((2 * first).sum() + 3 * second.sum())
        if large:
            assert second.grad is not None
            second.grad.fill_(math.inf)
        norms = stepper.step("a+b", optimizers, [[first], [second]], torch.tensor(0.0), [100.0, 100.0])
        assert norms[0] is not None
        assert norms[0].item() == pytest.approx(math.sqrt(8))
    assert first.tolist() == [-3, -3]
    assert second.tolist() == [-2]
    assert scaler.get_scale() == 512


@pytest.mark.parametrize("answer", [torch.tensor(1.0), torch.tensor([1.0, 0.0, 0.0])])
def test_settle_waits_for_the_result_of_the_last_step(answer: torch.Tensor) -> None:
    """The pending result is set up as after a step on a GPU."""
    waited: list[str] = []
    stepper, arrived = Stepper(), SimpleNamespace(synchronize=lambda: waited.append("event"))
    stepper._pending = [("generator", answer, arrived)]
    with pytest.raises(NonFiniteError, match="the generator's loss or gradient is not finite"):
        stepper.settle()
    assert waited == ["event"]
    stepper._pending = [("generator", torch.zeros_like(answer), arrived)]
    stepper.settle()
    assert len(stepper._pending) == 1  # not consumed: stop requests are read after the same step on all ranks


def test_the_payload_is_not_copied_from_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies from pageable memory synchronize with the device."""

    def copy(*_: object, **__: object) -> None:
        raise AssertionError("a tensor was made on the host")

    for name in ("tensor", "as_tensor"):
        monkeypatch.setattr(torch, name, copy)
    monkeypatch.setattr(torch.Tensor, "new_tensor", copy)
    monkeypatch.setattr(
        torch.distributed, "all_reduce", lambda flat: flat.mul_(2)
    )  # as if both ranks had the same values
    weight = nn.Parameter(torch.ones(3))
    weight.grad = torch.arange(3.0)
    loss, payload = average_over_ranks([weight], [torch.full((2,), 4.0)], torch.ones(()), 2, (1.0, 5.25))
    assert loss.item() == 1.0
    assert payload.tolist() == [1.0, 5.25]
    assert weight.grad.tolist() == [0, 1, 2]
