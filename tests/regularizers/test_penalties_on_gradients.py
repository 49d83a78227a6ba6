"""R1, R2, DRAGAN and path length regularization against closed forms and finite differences."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.losses import AdversarialLoss
from saddlepoint.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    MLPDiscriminator,
    MLPGenerator,
    StyleGAN2Generator,
)
from saddlepoint.networks.layers.minibatch import Packing
from saddlepoint.regularizers import DRAGAN, R1, R2, GradientPenalty, PathLength, Regularizer
from saddlepoint.systems import GAN
from saddlepoint.turns import Bound, Critic, Styled, Turn
from saddlepoint.types import CriticOutput, VectorBatch

PENALTIES = {"r1": R1, "r2": R2, "dragan": DRAGAN, "gradient_penalty": GradientPenalty}


class Linear(nn.Module):
    """D(x) = w·x, on samples of any shape."""

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> CriticOutput:
        return CriticOutput((samples * self.w).flatten(1).sum(1), samples.flatten(1))


class Quadratic(nn.Module):
    """D(x) = a_y/2 ‖x‖² for labels y, so ∇D = a_y x; stores its input."""

    def __init__(self, *a: float) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a, dtype=torch.float64))

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> CriticOutput:
        self.seen = samples.detach().clone()
        a = self.a[torch.zeros(len(samples), dtype=torch.long) if labels is None else labels]
        return CriticOutput(a / 2 * samples.flatten(1).square().sum(1), samples.flatten(1))


class Packs(nn.Module):
    """D(x_1, …, x_m) = Σ_i i/2 ‖x_i‖² of m consecutive samples; its gradient with respect to x_i is i x_i."""

    def __init__(self, m: int) -> None:
        super().__init__()
        self.packing = Packing(m)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> CriticOutput:
        packs = self.packing(samples)
        norms = packs.unflatten(1, (self.packing.m, -1)).square().sum(2)
        return CriticOutput(norms @ torch.arange(1.0, self.packing.m + 1, dtype=norms.dtype) / 2, packs)


def samples(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def turn(network: nn.Module, real: Tensor | None, fake: Tensor | None, labels: Tensor | None = None) -> Turn:
    return Turn(
        loss=torch.zeros(()),
        networks={"discriminator": network},
        random=torch.Generator().manual_seed(0),
        real=real,
        fake=fake,
        labels=labels,
        critic=Critic(network, labels),
    )


@pytest.mark.parametrize("shape", [(2,), (3, 4, 5)])
@pytest.mark.parametrize("penalty", [R1, R2])
def test_zero_centered_penalty_of_a_linear_critic(penalty: type[R1 | R2], shape: tuple[int, ...]) -> None:
    critic = Linear(samples(*shape, seed=3))
    value = penalty(weight=7.0).penalty(turn(critic, samples(6, *shape), samples(4, *shape, seed=1)))
    value.backward()
    np.testing.assert_allclose(value.item(), 7 / 2 * (critic.w.detach().numpy() ** 2).sum(), rtol=1e-12)
    np.testing.assert_allclose(critic.w.grad, 7 * critic.w.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("kind", ["real", "fake"])
def test_r1_is_on_real_and_r2_on_generated_samples_with_their_labels(kind: str) -> None:
    labels, critic = torch.tensor([0, 1, 1, 0, 1]), Quadratic(0.5, 2.0)
    real, fake = samples(5, 3), samples(5, 3, seed=1)
    penalty, x = (R1(weight=4.0), real) if kind == "real" else (R2(weight=4.0), fake)
    value = penalty.penalty(turn(critic, real, fake, labels))
    value.backward()
    a, norms = np.array([0.5, 2.0])[labels.numpy()], (x.numpy() ** 2).sum(1)
    np.testing.assert_allclose(value.item(), 2 * (a**2 * norms).mean(), rtol=1e-12)
    expected = [4 * (a * norms * (labels.numpy() == label)).mean() for label in (0, 1)]
    np.testing.assert_allclose(critic.a.grad, expected, rtol=1e-12)


def test_gradients_are_per_pack_and_surplus_samples_are_dropped() -> None:
    x = samples(11, 2)
    with pytest.warns(UserWarning, match="packing"):
        value = R1(weight=2.0).penalty(turn(Packs(4), x, None))
    weights = np.array([1, 2, 3, 4] * 2)[:, None]
    np.testing.assert_allclose(value.item(), ((weights * x[:8].numpy()) ** 2).sum() / 2, rtol=1e-12)


def test_the_gradient_is_with_respect_to_the_input_of_the_augments() -> None:
    record = turn(Linear(samples(3, seed=3)), samples(6, 3), samples(6, 3, seed=1))
    plain = R1().penalty(record).item()
    record.critic = Critic(record.networks["discriminator"], augment=lambda x: 3 * x + 1)
    np.testing.assert_allclose(R1().penalty(record).item(), 9 * plain, rtol=1e-12)


def test_dragan_of_a_linear_critic() -> None:
    critic = Linear(samples(2, 3, seed=3))
    record = turn(critic, samples(6, 2, 3), None)
    value = DRAGAN(weight=5.0, center=0.3).penalty(record)
    value.backward()
    w, norm = critic.w.detach().numpy(), np.linalg.norm(critic.w.detach().numpy())
    np.testing.assert_allclose(value.item(), 5 * (norm - 0.3) ** 2, rtol=1e-12)
    np.testing.assert_allclose(critic.w.grad, 10 * (norm - 0.3) * w / norm, rtol=1e-12)
    np.testing.assert_allclose(record.logs["gradient_norm_around_data"].item(), norm, rtol=1e-12)


def test_dragan_perturbs_real_samples_as_in_the_published_code() -> None:
    critic, real = Quadratic(0.7), samples(4, 1, 2, 3)
    value = DRAGAN(noise=0.25).penalty(turn(critic, real, None))
    random = torch.Generator().manual_seed(0)
    alpha = torch.empty(4, dtype=torch.float64).uniform_(generator=random).numpy()[:, None, None, None]
    noise = torch.empty(4, 1, 2, 3, dtype=torch.float64).uniform_(generator=random).numpy()
    perturbed = real.numpy() + alpha * 0.25 * real.numpy().std() * noise
    np.testing.assert_allclose(critic.seen, perturbed, rtol=1e-12)
    norms = 0.7 * np.linalg.norm(perturbed.reshape(4, -1), axis=1)
    np.testing.assert_allclose(value.item(), 10 * ((norms - 1) ** 2).mean(), rtol=1e-12)


def compare_with_finite_differences(network: nn.Module, penalty: Callable[[], Tensor]) -> None:
    """Compare the largest entry of each weight's gradient."""
    penalty().backward()
    moved = [parameter for parameter in network.parameters() if parameter.grad is not None]
    assert moved
    for parameter in moved:
        assert parameter.grad is not None
        flat, index = parameter.data.view(-1), parameter.grad.abs().argmax()
        at, values = flat[index].item(), []
        for sign in (1, -1):
            flat[index] = at + sign * 1e-6
            values.append(penalty().item())
        flat[index] = at
        numeric = (values[0] - values[1]) / 2e-6
        np.testing.assert_allclose(parameter.grad.view(-1)[index].item(), numeric, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["r1", "r2", "dragan"])
def test_gradient_in_parameters_matches_finite_differences(name: str) -> None:
    torch.manual_seed(0)
    critic = DCGANDiscriminator((1, 8, 8), width=2, norm="layer").double()
    real, fake = samples(3, 1, 8, 8), samples(3, 1, 8, 8, seed=1)
    compare_with_finite_differences(critic, lambda: PENALTIES[name]().penalty(turn(critic, real, fake)))


@pytest.mark.parametrize("name", PENALTIES)
def test_float32_under_autocast_and_unchanged_buffers(name: str) -> None:
    torch.manual_seed(0)
    critic = DCGANDiscriminator((1, 8, 8), width=4, norm="none", spectral_norm=True)
    before = copy.deepcopy(dict(critic.named_buffers()))
    real, fake = samples(4, 1, 8, 8).bfloat16(), samples(4, 1, 8, 8, seed=1).bfloat16()
    plain = PENALTIES[name]().penalty(turn(critic, real, fake))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = PENALTIES[name]().penalty(turn(critic, real, fake))
    assert mixed.dtype == torch.float32
    assert torch.equal(plain, mixed)
    assert before
    assert all(torch.equal(before[name], buffer) for name, buffer in critic.named_buffers())


@pytest.mark.parametrize("name", ["r1", "r2", "dragan"])
def test_batch_norm_and_missing_samples_are_rejected(name: str) -> None:
    penalty: Regularizer = PENALTIES[name]()
    with pytest.raises(
        UserError, match=r"^discriminator.norm: .* of single samples.*; choose from none, layer, instance, group"
    ):
        penalty.check({"discriminator": DCGANDiscriminator((3, 16, 16), width=2, norm="batch")})
    penalty.check({"discriminator": DCGANDiscriminator((3, 16, 16), width=2, norm="layer")})
    kind = "generated" if name == "r2" else "real"
    with pytest.raises(UserError, match=rf"^player: .* needs {kind} samples, and the turn of discriminator has none"):
        penalty.penalty(turn(Linear(torch.ones(2)), None, None))


class Silent(AdversarialLoss):
    """A loss with zero gradients, so that only the penalty changes the weights."""

    def discriminator(self, real: CriticOutput, fake: CriticOutput) -> Tensor:
        return 0 * real.logits.sum()

    def generator(self, fake: CriticOutput, real: CriticOutput | None = None) -> Tensor:
        return 0 * fake.logits.sum()


def test_a_lazy_penalty_is_scaled_by_its_interval() -> None:
    critic = Linear(torch.ones(3))
    sgd = partial(torch.optim.SGD, lr=0.01)
    system = GAN(
        {"generator": MLPGenerator((3,), 2, [4]), "discriminator": critic},
        Silent(),
        latent_dim=2,
        optimizers={"generator": sgd, "discriminator": sgd},
        regularizers={"r1": R1(weight=2.0, interval=3)},
    )
    seen = []
    system.count_generator_update = lambda: seen.append(critic.w[0].item())  # type: ignore[method-assign]
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(system, (VectorBatch(samples(4, 3).float()) for _ in range(5)))
    once = 1 - 0.01 * 3 * 2.0  # w ← w - η · interval · γ w
    np.testing.assert_allclose(seen, [once, once, once, once**2, once**2], rtol=1e-6)


class LinearGenerator(nn.Module):
    """G(z) = W_y z, so Jᵀy = Wᵀy for all z."""

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return torch.einsum("...z,nz->n...", self.w, latents)


def generator_turn(generator: nn.Module, latents: Tensor) -> Turn:
    random = torch.Generator().manual_seed(0)
    return Turn(
        loss=torch.zeros(()),
        networks={"generator": generator},
        random=random,
        latents=latents,
        generate=Bound(generator),
        players=("generator",),
    )


@pytest.mark.parametrize(("shape", "scale"), [((3,), 1.0), ((2, 3, 4), 12.0)])
def test_path_length_of_a_linear_generator(shape: tuple[int, ...], scale: float) -> None:
    generator, latents = LinearGenerator(samples(*shape, 5)), samples(8, 5, seed=1)
    part = PathLength(weight=3.0, decay=0.9)
    expected_average = None
    for step in range(3):
        record = generator_turn(generator, latents)
        record.random.manual_seed(step)
        value = part.penalty(record)
        y = torch.randn((4, *shape), generator=torch.Generator().manual_seed(step), dtype=torch.float64).numpy()
        w = generator.w.detach().numpy().reshape(-1, 5)
        lengths = np.linalg.norm(y.reshape(4, -1) @ w, axis=1) / np.sqrt(scale)
        target = lengths.mean() if expected_average is None else expected_average
        np.testing.assert_allclose(value.item(), 3 * ((lengths - target) ** 2).mean(), rtol=1e-5)
        with torch.no_grad():
            part.observe(record)
            record.players = ("discriminator",)
            part.observe(record)
        expected_average = 0.9 * target + 0.1 * lengths.mean() if step else lengths.mean()
        np.testing.assert_allclose(part.average.item(), expected_average, rtol=1e-6)
    other = PathLength()
    other.load_state_dict(part.state_dict())
    assert torch.equal(other.average, part.average)
    assert bool(other.started)


def test_path_length_matches_finite_differences() -> None:
    torch.manual_seed(0)
    generator = DCGANGenerator((1, 8, 8), 3, width=2, norm="layer").double()
    part, latents = PathLength(shrink=1), samples(3, 3)
    part.started.fill_(True)
    part.average.fill_(0.02)
    compare_with_finite_differences(generator, lambda: part.penalty(generator_turn(generator, latents)))
    assert torch.equal(latents, samples(3, 3))


class LinearStyles(LinearGenerator):
    """f(z) repeats z for each of L styles, and g(w) = Σ_l W_l w_l + noise."""

    def map(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return latents[:, None].expand(-1, self.w.shape[0], -1)

    def synthesise(self, styles: Tensor, noise: Tensor | None = None) -> Tensor:
        images = torch.einsum("lchwz,nlz->nchw", self.w, styles)
        return images if noise is None else images + noise


def test_path_length_of_styles_is_the_published_codes() -> None:
    """2 E (ℓ - b)², where ℓ² is the mean over the L = 2 log₂ r - 2 styles of ‖W_lᵀ y‖², with y ~ N(0, I) / r."""
    generator, latents = LinearStyles(samples(6, 3, 16, 16, 2)), samples(8, 2, seed=1)
    record = generator_turn(generator, latents)
    record.generate = Styled(generator, noise=lambda n: torch.ones(n, 1, 1, 1, dtype=torch.float64))
    part = PathLength(shrink=1)
    value = part.penalty(record).item()
    y = torch.randn((8, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.float64).numpy() / 16
    products = np.einsum("lchwz,nchw->nlz", generator.w.detach().numpy(), y)
    lengths = np.sqrt((products**2).sum(2).mean(1))
    np.testing.assert_allclose(value, 2 * ((lengths - lengths.mean()) ** 2).mean(), rtol=1e-5)
    expected = (generator.w**2).sum().item() / (6 * 16**2)  # E ℓ² = ‖W‖² / (L·H·W)
    np.testing.assert_allclose((lengths**2).mean(), expected, rtol=0.1)


def test_path_length_of_styles_matches_finite_differences() -> None:
    torch.manual_seed(0)
    generator = StyleGAN2Generator((1, 8, 8), 3, 2, 2, mapping_layers=1).double()
    latents, noise = samples(3, 3), samples(3, generator.noise_dim, seed=1)
    for convolution in generator.convolutions:
        nn.init.constant_(convolution.strength, 0.3)  # type: ignore[arg-type]
    part = PathLength(shrink=1)
    part.started.fill_(True)
    part.average.fill_(0.02)

    def penalty() -> Tensor:
        record = generator_turn(generator, latents)
        record.generate = Styled(generator, noise=lambda n: noise[:n])
        return part.penalty(record)

    compare_with_finite_differences(generator, penalty)
    assert not generator.average.mean.any()  # penalties do not change running statistics


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 64, 64), (1, 32, 128), (1, 128, 128)])
def test_the_weight_of_path_length_follows_the_size(shape: tuple[int, ...]) -> None:
    """It is the paper's γ = ln 2 / (r² (ln r - ln 2)) for y ~ N(0, I), without our division of y by r."""
    generator, latents = LinearGenerator(samples(*shape, 2)), samples(4, 2)
    part = PathLength(shrink=1)
    value = part.penalty(generator_turn(generator, latents)).item()
    r = math.sqrt(shape[1] * shape[2])
    y = torch.randn((4, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.float64).numpy()
    lengths = np.linalg.norm(y.reshape(4, -1) @ generator.w.detach().numpy().reshape(-1, 2), axis=1)
    gamma = math.log(2) / (r**2 * (math.log(r) - math.log(2)))
    np.testing.assert_allclose(value, gamma * ((lengths - lengths.mean()) ** 2).mean(), rtol=1e-5)


def test_path_length_of_points_needs_a_weight() -> None:
    generator = LinearGenerator(samples(3, 5))
    with pytest.raises(UserError, match=r"^weight: the default is for images; set it$"):
        PathLength().penalty(generator_turn(generator, samples(8, 5)))


def test_path_length_rejects_batch_norm_and_turns_without_latents() -> None:
    networks = {"generator": DCGANGenerator((1, 8, 8), 3, width=2), "discriminator": MLPDiscriminator((2,))}
    with pytest.raises(UserError, match=r"^generator.norm: PathLength .*; choose from none, layer, instance, group$"):
        PathLength().check(networks)
    record = generator_turn(networks["generator"], samples(3, 3))
    record.latents = None
    with pytest.raises(
        UserError, match=r"^player: PathLength needs latents and a generator, and the turn of generator has none"
    ):
        PathLength().penalty(record)
