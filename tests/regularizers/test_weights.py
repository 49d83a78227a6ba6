"""Orthogonal regularization and historical averaging against naive loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from saddlepoint.networks.layers import apply_spectral_norm
from saddlepoint.networks.layers.equalized import equalize
from saddlepoint.networks.layers.modulated import ModulatedConv2d
from saddlepoint.regularizers import HistoricalAveraging, Orthogonal
from saddlepoint.turns import Turn


def turn(network: nn.Module, player: str = "generator") -> Turn:
    return Turn(loss=torch.zeros(()), networks={"generator": network}, random=torch.Generator(), players=(player,))


def naive(filters: np.ndarray, form: str) -> float:
    total = 0.0
    for i, one in enumerate(filters):
        for j, other in enumerate(filters):
            if form == "strict":
                total += abs(one @ other - (i == j))
            elif i != j:
                total += (one @ other) ** 2
    return total


@pytest.mark.parametrize("form", ["relaxed", "strict"])
def test_orthogonal_is_a_sum_over_pairs_of_rows(form: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(5, 3), nn.Linear(3, 8), nn.Conv2d(2, 4, 3), nn.ConvTranspose2d(6, 2, 2), nn.BatchNorm2d(3)
    ).double()
    part = Orthogonal(weight=0.5, form=form)  # type: ignore[arg-type]
    weights = [module.weight.detach().numpy() for module in network]
    weights[3] = weights[3].transpose(1, 0, 2, 3)
    expected = 0.5 * sum(naive(w.reshape(len(w), -1), form) for w in weights[:4])
    penalty = part.penalty(turn(network))
    np.testing.assert_allclose(penalty.item(), expected, rtol=1e-10)
    penalty.backward()
    for module in (network[0], network[1], network[3]):
        at, values = module.weight.data.view(-1)[3].item(), []
        for step in (1e-6, -1e-6):
            module.weight.data.view(-1)[3] = at + step
            values.append(part.penalty(turn(network)).item())
        module.weight.data.view(-1)[3] = at
        numeric = (values[0] - values[1]) / 2e-6
        np.testing.assert_allclose(module.weight.grad.view(-1)[3].item(), numeric, rtol=1e-5, atol=1e-8)


def test_orthogonal_acts_on_scaled_weights_of_equalized_and_modulated_layers() -> None:
    torch.manual_seed(0)
    network = nn.ModuleList([equalize(nn.Linear(5, 3), multiplier=0.01), ModulatedConv2d(2, 4, 3, style_dim=6)])
    linear, modulated = network
    weights = [linear.weight, modulated.affine.weight, modulated.weight.flatten(1) / 18**0.5]
    expected = sum(naive(w.detach().numpy(), "relaxed") for w in weights)
    np.testing.assert_allclose(Orthogonal(weight=1.0).penalty(turn(network)).item(), expected, rtol=1e-5)


def test_orthogonal_is_zero_for_orthogonal_weights() -> None:
    network = nn.Linear(4, 4, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(0)))[0])
    for form, scale, expected in (
        ("strict", 1.0, 0.0),
        ("relaxed", 1.0, 0.0),
        ("relaxed", 3.0, 0.0),
        ("strict", 2.0, 12),
    ):
        with torch.no_grad():
            network.weight *= scale
        value = Orthogonal(weight=1.0, form=form).penalty(turn(network)).item()  # type: ignore[arg-type]
        np.testing.assert_allclose(value, expected, atol=1e-4 * scale**4)
        with torch.no_grad():
            network.weight /= scale


def test_orthogonal_uses_the_unnormalized_weight_in_float32() -> None:
    torch.manual_seed(0)
    network = nn.Linear(6, 4)
    with torch.no_grad():
        network.weight *= 5
    plain = Orthogonal().penalty(turn(network))
    normalized = apply_spectral_norm(network)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = Orthogonal().penalty(turn(normalized))
    assert value.dtype == torch.float32
    assert torch.equal(value, plain)


def step(network: nn.Module, seed: int) -> list[np.ndarray]:
    """Change the weights as an optimizer would, and return copies of them."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += torch.randn(parameter.shape, generator=random)
    return [parameter.detach().double().numpy().copy() for parameter in network.parameters()]


def test_historical_averaging_is_the_distance_from_the_mean_of_past_weights() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    part = HistoricalAveraging(weight=0.5)
    part.check({"generator": network})
    assert part.penalty(turn(network)).item() == 0.0
    history: list[list[np.ndarray]] = []
    for seed in range(6):
        if history:
            network.zero_grad()
            penalty = part.penalty(turn(network))
            penalty.backward()
            now = [parameter.detach().double().numpy() for parameter in network.parameters()]
            means = [np.mean(past, axis=0) for past in zip(*history, strict=True)]
            expected = 0.5 * sum(((a - b) ** 2).sum() for a, b in zip(now, means, strict=True))
            np.testing.assert_allclose(penalty.item(), expected, rtol=1e-4, atol=1e-10)
            np.testing.assert_allclose(network[0].weight.grad, now[0] - means[0], atol=1e-5)
        history.append(step(network, seed))
        with torch.no_grad():
            part.observe(turn(network))
            part.observe(turn(network, player="discriminator"))
    assert part.turns.item() == 6
    resumed = HistoricalAveraging(weight=0.5)
    resumed.check({"generator": network})
    resumed.load_state_dict(part.state_dict())
    step(network, 9)
    assert torch.equal(resumed.penalty(turn(network)), part.penalty(turn(network)))
    assert resumed.penalty(turn(network)).item() > 0


def test_gradients_of_the_first_turn_are_finite() -> None:
    network = nn.Linear(3, 2)
    part = HistoricalAveraging()
    part.check({"generator": network})
    part.penalty(turn(network)).backward()
    assert torch.equal(network.weight.grad, torch.zeros(2, 3))


def numbers(module: nn.Module) -> list[Tensor]:
    return list(module.buffers())


def test_averages_are_buffers() -> None:
    part = HistoricalAveraging()
    part.check({"generator": nn.Linear(3, 2)})
    assert [tuple(buffer.shape) for buffer in numbers(part)] == [(), (2, 3), (2,)]
