"""The gradient penalty against closed forms, finite differences and a naive loop."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.networks import DCGANDiscriminator, MLPDiscriminator, ResNetDiscriminator
from saddlepoint.regularizers import GradientPenalty
from saddlepoint.turns import Critic, Turn
from saddlepoint.types import CriticOutput


class Linear(nn.Module):
    """D(x) = w·x, on samples of any shape."""

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> CriticOutput:
        return CriticOutput((samples * self.w).flatten(1).sum(1), samples.flatten(1))


class Quadratic(nn.Module):
    """D(x) = a/2 ‖x‖², so ∇D = a x; stores its input."""

    def __init__(self, a: float) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a, dtype=torch.float64))

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> CriticOutput:
        self.seen, self.labels = samples.detach().clone(), labels
        return CriticOutput(self.a / 2 * samples.flatten(1).square().sum(1), samples.flatten(1))


class Patches(nn.Module):
    """A critic of patches: each logit is w times the mean of a 2×2 patch."""

    def __init__(self, w: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w, dtype=torch.float64))

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> CriticOutput:
        return CriticOutput(self.w * nn.functional.avg_pool2d(samples, 2), samples.flatten(1))


def turn(network: nn.Module, real: Tensor, fake: Tensor, labels: Tensor | None = None, seed: int = 0) -> Turn:
    return Turn(
        loss=torch.zeros(()),
        networks={"discriminator": network},
        random=torch.Generator().manual_seed(seed),
        real=real,
        fake=fake,
        labels=labels,
        critic=Critic(network, labels),
    )


def samples(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("shape", [(2,), (3, 4, 5)])
@pytest.mark.parametrize("center", [0.0, 1.0])
def test_linear_critic_has_a_closed_form(shape: tuple[int, ...], center: float) -> None:
    w = samples(*shape, seed=3)
    record = turn(Linear(w), samples(6, *shape), samples(6, *shape, seed=1))
    penalty = GradientPenalty(weight=7.0, center=center).penalty(record)
    norm = np.linalg.norm(w.numpy().ravel())
    np.testing.assert_allclose(penalty.item(), 7 * (norm - center) ** 2, rtol=1e-12)
    np.testing.assert_allclose(record.logs["gradient_norm"].item(), norm, rtol=1e-12)
    assert not record.logs["gradient_norm"].requires_grad
    penalty.backward()
    gradient = 14 * (norm - center) * w.numpy() / norm  # d/dw λ(‖w‖-c)² = 2λ(‖w‖-c) w/‖w‖
    np.testing.assert_allclose(record.networks["discriminator"].w.grad, gradient, rtol=1e-12)


@pytest.mark.parametrize("shape", [(2,), (3, 4, 4)])
def test_quadratic_critic_and_interpolation(shape: tuple[int, ...]) -> None:
    # λ mean (a‖x̂‖ - 1)² and its derivative with respect to a, 2λ mean (a‖x̂‖ - 1)‖x̂‖, at the critic's input x̂.
    critic, real, fake = Quadratic(0.4), samples(8, *shape), samples(5, *shape, seed=1)
    labels = torch.arange(8)
    penalty = GradientPenalty().penalty(turn(critic, real, fake, labels))
    penalty.backward()
    mixed = critic.seen.numpy().reshape(5, -1)  # the minimum of both numbers
    norms = np.linalg.norm(mixed, axis=1)
    np.testing.assert_allclose(penalty.item(), 10 * ((0.4 * norms - 1) ** 2).mean(), rtol=1e-12)
    np.testing.assert_allclose(critic.a.grad.item(), 20 * ((0.4 * norms - 1) * norms).mean(), rtol=1e-12)
    assert critic.labels.tolist() == [0, 1, 2, 3, 4]

    x, y = real[:5].numpy().reshape(5, -1), fake.numpy().reshape(5, -1)
    epsilon = (mixed - y) / (x - y)  # the same for all values of a sample
    np.testing.assert_allclose(epsilon, epsilon[:, :1].repeat(epsilon.shape[1], 1), rtol=1e-9)
    drawn = torch.rand((5,), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    np.testing.assert_allclose(epsilon[:, 0], drawn, rtol=1e-9)


def test_the_score_of_a_patch_critic_is_the_mean_over_patches() -> None:
    # D(x) = mean of w·avg_pool(x) = w·mean(x), so ‖∇D‖ = |w| / √(number of values).
    penalty = GradientPenalty().penalty(turn(Patches(12.0), samples(3, 1, 4, 4), samples(3, 1, 4, 4, seed=1)))
    np.testing.assert_allclose(penalty.item(), 10 * (12 / 4 - 1) ** 2, rtol=1e-12)


CRITICS = {
    "mlp": (lambda: MLPDiscriminator((3,), hidden=[6, 5], norm="layer"), (3,)),
    "mlp spectral": (lambda: MLPDiscriminator((3,), hidden=[6, 5], spectral_norm=True), (3,)),
    "maxout": (lambda: MLPDiscriminator((3,), hidden=[4, 4], activation="maxout", pieces=2), (3,)),
    "dcgan layer": (lambda: DCGANDiscriminator((1, 16, 16), width=2, norm="layer"), (1, 16, 16)),
    "dcgan spectral": (lambda: DCGANDiscriminator((1, 16, 16), width=2, norm="none", spectral_norm=True), (1, 16, 16)),
    "resnet layer": (lambda: ResNetDiscriminator((1, 8, 8), width=1, norm="layer", pooling="mean"), (1, 8, 8)),
    "resnet spectral": (lambda: ResNetDiscriminator((1, 8, 8), width=1, spectral_norm=True), (1, 8, 8)),
}


@pytest.mark.parametrize("name", CRITICS)
def test_gradient_in_parameters_matches_finite_differences(name: str) -> None:
    torch.manual_seed(0)
    make, shape = CRITICS[name]
    critic = make().double().eval()  # eval: the vectors of the power iteration are constant
    spectral = "spectral" in name
    real, fake = samples(3, *shape), samples(3, *shape, seed=1)

    def penalty() -> Tensor:
        return GradientPenalty().penalty(turn(critic, real, fake))

    if spectral:  # the derivative of σ with constant u and v is exact if they are the singular vectors
        critic.train()
        for _ in range(2000):
            critic(real)
        critic.eval()
    penalty().backward()
    for parameter in critic.parameters():
        if parameter.grad is None:  # ∇D does not depend on the output's bias
            continue
        flat, index = parameter.data.view(-1), parameter.grad.abs().argmax()
        step = 1e-6 * max(1.0, abs(flat[index].item()))
        at, values = flat[index].item(), []
        for sign in (1, -1):
            flat[index] = at + sign * step
            values.append(penalty().item())
        flat[index] = at
        numeric = (values[0] - values[1]) / (2 * step)
        np.testing.assert_allclose(parameter.grad.view(-1)[index].item(), numeric, rtol=2e-4, atol=1e-6)


def test_gradient_is_finite_where_the_norm_is_zero() -> None:
    critic = Linear(torch.zeros(2, 3))
    penalty = GradientPenalty().penalty(turn(critic, samples(4, 2, 3), samples(4, 2, 3, seed=1)))
    penalty.backward()
    assert penalty.item() == 10.0
    assert torch.equal(critic.w.grad, torch.zeros(2, 3))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_float32_under_autocast(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    critic = DCGANDiscriminator((3, 16, 16), width=8, norm="none", spectral_norm=True)
    real, fake = samples(4, 3, 16, 16).to(dtype), samples(4, 3, 16, 16, seed=1).to(dtype)
    plain = GradientPenalty().penalty(turn(critic, real, fake))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = GradientPenalty().penalty(turn(critic, real, fake))
    assert mixed.dtype == torch.float32
    assert torch.equal(plain, mixed)


def test_buffers_are_not_changed() -> None:
    torch.manual_seed(0)
    critic = DCGANDiscriminator((3, 16, 16), width=4, norm="batch", spectral_norm=True)
    critic(torch.randn(8, 3, 16, 16))
    before = copy.deepcopy(dict(critic.named_buffers()))
    assert len(before) > 4
    GradientPenalty().penalty(turn(critic, samples(4, 3, 16, 16).float(), samples(4, 3, 16, 16, seed=1).float()))
    assert all(torch.equal(before[name], buffer) for name, buffer in critic.named_buffers())


def test_batch_norm_in_the_critic_is_rejected() -> None:
    networks = {"discriminator": DCGANDiscriminator((3, 16, 16), width=2, norm="batch")}
    with pytest.raises(UserError, match=r"^discriminator.norm: .*; choose from none, layer, instance, group$"):
        GradientPenalty().check(networks)
    for norm in ("layer", "none", "instance", "group"):
        GradientPenalty().check({"discriminator": DCGANDiscriminator((3, 16, 16), width=2, norm=norm)})


@pytest.mark.parametrize(
    ("field", "missing"), [("real", "real samples"), ("fake", "generated samples"), ("critic", "a critic")]
)
def test_a_turn_without_samples_or_critic_is_rejected(field: str, missing: str) -> None:
    record = turn(Linear(torch.ones(2)), samples(4, 2), samples(4, 2))
    setattr(record, field, None)
    with pytest.raises(UserError, match=rf"^player: GradientPenalty needs {missing}, and the turn of discriminator "):
        GradientPenalty().penalty(record)


def test_the_error_has_no_key_if_batch_norm_is_not_an_option_of_the_network() -> None:
    with pytest.raises(UserError, match=r"^GradientPenalty .*; choose another network, or another regularizer$"):
        GradientPenalty().check({"discriminator": nn.BatchNorm1d(2)})
