"""Penalties on a critic of pairs (x, z), which treat a pair as one sample with the values of both."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.regularizers import (
    BCR,
    CR,
    DRAGAN,
    R1,
    R2,
    ZCR,
    GradientPenalty,
    MMDGradientPenalty,
    ModeSeeking,
    Regularizer,
)
from saddlepoint.turns import Bound, Critic, Turn
from saddlepoint.types import CriticOutput

N, Z = 5, 3
Pair = tuple[Tensor, Tensor]


class OfVectors(nn.Module):
    """A critic of vectors [N, 8]."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 4), nn.Tanh()).double()
        self.head = nn.Linear(4, 1).double()

    def forward(self, x: Tensor, condition: None = None) -> CriticOutput:
        features = self.trunk(x)
        return CriticOutput(self.head(features).squeeze(1), features)


class OfPairs(OfVectors):
    """The same critic of images [N, 1, 5, 1] and codes [N, 3]."""

    def forward(self, pair: Pair, condition: None = None) -> CriticOutput:  # type: ignore[override]
        self.seen = pair[0].detach().clone(), pair[1].detach().clone()
        return super().forward(joined(pair))


def joined(pair: Pair) -> Tensor:
    return torch.cat([pair[0].flatten(1), pair[1]], 1)


def pair(seed: int) -> Pair:
    random = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(shape, generator=random, dtype=torch.float64) for shape in ((N, 1, 5, 1), (N, Z)))  # type: ignore[return-value]


def turn(network: nn.Module, form: Callable[[Pair], object] = tuple) -> Turn:
    real, fake = form(pair(1)), form(pair(2))
    random = torch.Generator().manual_seed(0)
    return Turn(torch.zeros(()), {"discriminator": network}, random, real=real, fake=fake, critic=Critic(network))


def by_hand(part: Regularizer, network: OfVectors) -> Tensor:
    """Return the penalty by the paper's formula, by autograd on concatenated vectors."""
    real, fake = joined(pair(1)), joined(pair(2))
    epsilon = torch.rand((N,), generator=torch.Generator().manual_seed(0), dtype=torch.float64)[:, None]
    at = {R1: real, R2: fake, GradientPenalty: epsilon * real + (1 - epsilon) * fake}[type(part)].requires_grad_()
    scores = OfVectors.forward(network, at).logits
    (gradient,) = torch.autograd.grad(scores.sum(), at, create_graph=True)
    squared = (gradient**2).sum(1)
    if isinstance(part, GradientPenalty):
        return part.weight * ((squared.sqrt() - 1) ** 2).mean()
    return part.weight / 2 * squared.mean()


def gradients(network: nn.Module, value: Tensor) -> list[Tensor]:
    found = torch.autograd.grad(value, list(network.parameters()), allow_unused=True)
    assert sum(gradient is not None for gradient in found) >= 4
    return [gradient for gradient in found if gradient is not None]


@pytest.mark.parametrize("part", [R1(weight=3.0), R2(weight=3.0), GradientPenalty(weight=7.0)], ids=repr)
def test_value_and_gradients_match_the_formula(part: Regularizer) -> None:
    network = OfPairs()
    value, expected = part.penalty(turn(network)), by_hand(part, network)
    np.testing.assert_allclose(value.item(), expected.item(), rtol=1e-12)
    for ours, theirs in zip(gradients(network, value), gradients(network, expected), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("part", [MMDGradientPenalty(weight=2.0), GradientPenalty(), R1(), R2()], ids=repr)
def test_a_pair_is_equivalent_to_its_concatenated_vector(part: Regularizer) -> None:
    pairs, vectors = OfPairs(), OfVectors()
    ours, theirs = part.penalty(turn(pairs)), part.penalty(turn(vectors, joined))
    np.testing.assert_allclose(ours.item(), theirs.item(), rtol=1e-12)
    for mine, its in zip(gradients(pairs, ours), gradients(vectors, theirs), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-9, atol=1e-12)


def test_both_parts_of_a_pair_are_interpolated_with_the_same_epsilon() -> None:
    network = OfPairs()
    GradientPenalty().penalty(turn(network))
    epsilon = torch.rand((N,), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for seen, real, fake in zip(network.seen, pair(1), pair(2), strict=True):
        share = epsilon.view(N, *[1] * (seen.dim() - 1))
        torch.testing.assert_close(seen, share * real + (1 - share) * fake)


def test_dragan_perturbs_each_part_by_its_standard_deviation() -> None:
    network = OfPairs()
    value = DRAGAN(weight=10.0, noise=0.5).penalty(turn(network))
    random = torch.Generator().manual_seed(0)
    for seen, real in zip(network.seen, pair(1), strict=True):
        alpha = torch.empty(N, dtype=torch.float64).uniform_(generator=random).view(N, *[1] * (real.dim() - 1))
        noise = torch.empty(real.shape, dtype=torch.float64).uniform_(generator=random)
        np.testing.assert_allclose(seen, real + alpha * 0.5 * real.numpy().std() * noise, rtol=1e-12)
    at = joined(network.seen).requires_grad_()
    (gradient,) = torch.autograd.grad(OfVectors.forward(network, at).logits.sum(), at)
    np.testing.assert_allclose(value.item(), 10 * ((gradient.norm(dim=1) - 1) ** 2).mean(), rtol=1e-12)


@pytest.mark.parametrize("part", [R1(), R2(), GradientPenalty(), DRAGAN(), MMDGradientPenalty()], ids=repr)
def test_gradients_match_finite_differences(part: Regularizer) -> None:
    network = OfPairs()
    weight = network.trunk[0].weight
    (slope,) = torch.autograd.grad(part.penalty(turn(network)), weight)
    index = int(slope.abs().argmax())
    flat, values = weight.data.view(-1), []
    at = flat[index].item()
    for step in (1e-6, -1e-6):
        flat[index] = at + step
        values.append(part.penalty(turn(network)).item())
    np.testing.assert_allclose(slope.flatten()[index].item(), (values[0] - values[1]) / 2e-6, rtol=1e-5)


@pytest.mark.parametrize("part", [R1(), GradientPenalty(), MMDGradientPenalty()], ids=repr)
def test_half_precision_pairs_are_converted_to_float32(part: Regularizer) -> None:
    network = OfPairs().float()
    plain = turn(network, lambda one: tuple(tensor.bfloat16() for tensor in one))
    value = part.penalty(plain)
    with torch.autocast("cpu", torch.bfloat16):
        again = part.penalty(turn(network, lambda one: tuple(tensor.bfloat16() for tensor in one)))
    assert value.dtype == torch.float32
    assert torch.equal(value, again)


@pytest.mark.parametrize("part", [CR(), BCR(), ZCR(), ModeSeeking(player="discriminator")], ids=repr)
def test_regularizers_of_single_samples_are_rejected(part: Regularizer) -> None:
    record = turn(OfPairs())
    record.latents, record.generate = pair(2)[1], Bound(nn.Identity())
    with pytest.raises(UserError, match="does not support a critic of pairs"):
        part.penalty(record)


@pytest.mark.parametrize("part", [CR(shift=1), BCR(shift=1)], ids=repr)
def test_consistency_with_a_condition_of_images_is_rejected(part: Regularizer) -> None:
    class Beside(nn.Module):
        def forward(self, x: Tensor, condition: Tensor) -> CriticOutput:
            return CriticOutput((x * condition.view(N, -1, 1, 1)).sum((1, 2, 3)), x.flatten(1))

    images, labels = torch.rand(N, 1, 4, 4), torch.arange(N)
    for condition, refused in ((images, True), ({"image": images, "labels": labels}, True), (labels, False)):
        critic = Critic(Beside(), condition)
        record = Turn(
            torch.zeros(()),
            {"discriminator": critic.network},
            torch.Generator().manual_seed(0),
            real=images,
            fake=images,
            critic=critic,
        )
        output = CriticOutput(torch.zeros(N), images.flatten(1))
        record.outputs = {"real": output, "fake": output}
        if refused:
            with pytest.raises(UserError, match="does not support a discriminator that is conditioned on images"):
                part.penalty(record)
        else:
            assert part.penalty(record).item() > 0
