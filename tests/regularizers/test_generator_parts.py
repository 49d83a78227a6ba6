"""Pulling-away term, mode seeking and feature matching against naive loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.regularizers import ZCR, FeatureMatching, ModeSeeking, PullingAway, Regularizer
from saddlepoint.turns import Bound, Styled, Turn
from saddlepoint.types import CriticOutput


class Conditional(nn.Module):
    """G(z, y) = tanh(z W) + y."""

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return torch.tanh(latents @ self.w) + (0 if labels is None else labels[:, None])


def samples(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def turn(**record: object) -> Turn:
    record = {"loss": torch.zeros(()), "networks": {}, "random": torch.Generator(), "players": ("generator",), **record}
    return Turn(**record)  # type: ignore[arg-type]


def features(kind: Tensor) -> CriticOutput:
    return CriticOutput(kind[:, 0], kind)


def test_pulling_away_is_a_mean_over_pairs() -> None:
    S = samples(5, 7).requires_grad_()
    penalty = PullingAway(weight=0.3).penalty(turn(outputs={"fake": features(S)}))
    s, total = S.detach().numpy(), 0.0
    for i in range(5):
        for j in range(5):
            if i != j:
                total += (s[i] @ s[j] / (np.linalg.norm(s[i]) * np.linalg.norm(s[j]))) ** 2
    np.testing.assert_allclose(penalty.item(), 0.3 * total / (5 * 4), rtol=1e-12)
    assert torch.autograd.gradcheck(
        lambda x: PullingAway(weight=0.3).penalty(turn(outputs={"fake": features(x)})), (S,)
    )


def test_pulling_away_extremes() -> None:
    for rows, expected in ((torch.eye(4), 0.0), (torch.ones(4, 4), 0.1), (torch.ones(1, 4), 0.0)):
        np.testing.assert_allclose(PullingAway().penalty(turn(outputs={"fake": features(rows)})), expected, rtol=1e-6)


@pytest.mark.parametrize("labelled", [False, True])
def test_mode_seeking_is_over_consecutive_samples_with_the_same_label(labelled: bool) -> None:
    generator, z = Conditional(samples(3, 4, seed=5)), samples(6, 3)
    labels = torch.tensor([0, 2, 1, 1, 0, 2]) if labelled else None

    def penalty() -> Tensor:
        return ModeSeeking(weight=2.0).penalty(record)

    record = turn(generate=Bound(generator, labels), fake=generator(z, labels), latents=z, labels=labels)
    value = penalty()
    ratios, w = [], generator.w.detach().numpy()
    for i in range(6):
        one, other = z[i].numpy(), z[i - 1].numpy()
        difference = np.abs(np.tanh(one @ w) - np.tanh(other @ w))  # the common label cancels
        ratios.append(difference.mean() / np.abs(one - other).mean())
    np.testing.assert_allclose(value.item(), 2 / (np.mean(ratios) + 1e-5), rtol=1e-12)
    np.testing.assert_allclose(record.logs["mode_ratio"].item(), np.mean(ratios), rtol=1e-12)

    value.backward()
    at, values = w[1, 2], []
    for step in (1e-6, -1e-6):
        with torch.no_grad():
            generator.w[1, 2] = at + step
        record.fake = generator(z, labels)
        values.append(penalty().item())
    np.testing.assert_allclose(generator.w.grad[1, 2].item(), (values[0] - values[1]) / 2e-6, rtol=1e-5)


def test_mode_seeking_by_the_ratio_of_means() -> None:
    generator, z = Conditional(samples(3, 4, seed=5)), samples(6, 3)
    record = turn(generate=Bound(generator, None), fake=generator(z), latents=z)
    value = ModeSeeking(weight=0.5, ratio="ratio_of_means").penalty(record)
    of_samples, of_latents, w = [], [], generator.w.detach().numpy()
    for i in range(6):
        one, other = z[i].numpy(), z[i - 1].numpy()
        of_samples.append(np.abs(np.tanh(one @ w) - np.tanh(other @ w)).mean())
        of_latents.append(np.abs(one - other).mean())
    np.testing.assert_allclose(value.item(), 0.5 / (np.mean(of_samples) / np.mean(of_latents) + 1e-5), rtol=1e-12)


def test_mode_seeking_is_bounded_for_a_collapsed_generator_and_zero_for_one_sample() -> None:
    generate = Bound(nn.Identity())
    collapsed = turn(generate=generate, fake=torch.zeros(4, 3), latents=samples(4, 2))
    np.testing.assert_allclose(ModeSeeking().penalty(collapsed).item(), 1e5, rtol=1e-6)
    single = turn(generate=generate, fake=torch.zeros(1, 3), latents=samples(1, 2))
    assert ModeSeeking().penalty(single).item() == 0.0


class Noisy(nn.Module):
    """G(z, noise, others, cut) = z + noise, in which elements from ``cut`` on are of the other latents."""

    def forward(self, z: Tensor, labels: None, noise: Tensor, others: Tensor, cut: Tensor) -> Tensor:
        return torch.where(torch.arange(z.shape[1]) < cut, z, others) + noise


@pytest.mark.parametrize("part", [ModeSeeking(), ZCR(weight=1.0, player="generator", std=0.5)], ids=["ms", "zcr"])
def test_samples_are_compared_under_the_same_noise_and_mixed_styles(part: Regularizer) -> None:
    z, noise, others, cut = samples(6, 4), samples(6, 4, seed=1), samples(6, 4, seed=2), torch.tensor(3)
    generate = Styled(Noisy(), used=(noise, others, cut))
    record = turn(generate=generate, fake=Noisy()(z, None, noise, others, cut), latents=z)
    record.random.manual_seed(0)
    value = part.penalty(record).item()
    if isinstance(part, ModeSeeking):
        moved = np.abs(z.numpy() - np.roll(z.numpy(), 1, 0))
        expected = 1 / (np.mean(moved[:, :3].sum(1) / moved.sum(1)) + 1e-5)
    else:
        drawn = torch.randn(z.shape, generator=torch.Generator().manual_seed(0), dtype=z.dtype)
        again = Noisy()(z + 0.5 * drawn, None, noise, others, cut)
        expected = -(record.fake.clamp(-1, 1) - again.clamp(-1, 1)).square().mean().item()
    np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_feature_matching_is_a_distance_of_means() -> None:
    real, fake = samples(6, 5), samples(4, 5, seed=1).requires_grad_()
    real.requires_grad_()
    part = FeatureMatching(weight=3.0)
    penalty = part.penalty(turn(outputs={"real": features(real), "fake": features(fake)}))
    difference = real.detach().numpy().mean(0) - fake.detach().numpy().mean(0)
    np.testing.assert_allclose(penalty.item(), 3 * (difference**2).sum(), rtol=1e-12)
    penalty.backward()
    np.testing.assert_allclose(fake.grad, np.tile(-6 * difference / 4, (4, 1)), rtol=1e-12)
    assert real.grad is None
    assert part.needs_real_in_generator


@pytest.mark.parametrize(
    ("part", "missing"),
    [
        (PullingAway(), "the critic's output on fake samples"),
        (ModeSeeking(), "latents and a generator"),
        (FeatureMatching(), "the critic's output on real and fake samples"),
    ],
    ids=lambda part: type(part).__name__,
)
def test_missing_outputs_are_named(part: Regularizer, missing: str) -> None:
    assert part.batch_coupled
    with pytest.raises(UserError) as raised:
        part.penalty(turn())
    assert raised.value.problem == f"{type(part).__name__} needs {missing}, and the turn of generator has none"
    assert raised.value.key == "player"
