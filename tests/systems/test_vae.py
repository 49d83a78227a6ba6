"""The VAE against closed forms for a linear Gaussian model."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Normal, kl_divergence

from saddlepoint import randomness
from saddlepoint.errors import UserError
from saddlepoint.networks import VAEDecoder
from saddlepoint.systems import VAE
from saddlepoint.systems.capabilities import Encodes, Generates, HasLikelihood, Translates
from saddlepoint.systems.vae import kl_to_standard_normal, log_normal
from saddlepoint.types import VectorBatch

D, Z, NOISE = 5, 2, 0.6


class Code(NamedTuple):
    mean: Tensor
    log_variance: Tensor


class Gaussian(NamedTuple):
    mean: Tensor
    log_variance: Tensor


class Bits(NamedTuple):
    logits: Tensor


class LinearEncoder(nn.Module):
    shape = (D,)

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.log_variance = nn.Linear(D, Z), nn.Parameter(torch.full((Z,), -1.0))

    def forward(self, x: Tensor, condition: None = None) -> Code:
        return Code(self.mean(x), self.log_variance.expand(len(x), -1))


class LinearDecoder(nn.Module):
    shape, latent_dim = (D,), Z

    def __init__(self, likelihood: str = "gaussian") -> None:
        super().__init__()
        self.likelihood, self.mean = likelihood, nn.Linear(Z, D)

    def forward(self, z: Tensor, condition: None = None) -> Gaussian | Bits:
        mean = self.mean(z)
        return (
            Bits(mean) if self.likelihood == "bernoulli" else Gaussian(mean, torch.full_like(mean, 2 * math.log(NOISE)))
        )


class Alone:
    """The attributes of a trainer that a game uses, for one process."""

    world_size, global_rank, precision_plugin = 1, 0, None


def build(likelihood: Any = "gaussian", **options: Any) -> VAE:
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {"encoder": LinearEncoder(), "decoder": LinearDecoder(likelihood)}
    sgd = partial(torch.optim.SGD, lr=0.1)
    system = VAE(networks, Z, likelihood, optimizers={"autoencoder": sgd}, **options)
    system.trainer = Alone()  # type: ignore[assignment]
    system.configure_optimizers()
    system.on_fit_start()
    return system


def samples(n: int) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(1))


def exact(system: VAE, x: Tensor) -> Tensor:
    """Return log p(x) of x = Wz + b + noise, which is normal with covariance WWᵀ + σ²I."""
    W, b = system.decoder.mean.weight, system.decoder.mean.bias
    return MultivariateNormal(b, W @ W.T + NOISE**2 * torch.eye(D)).log_prob(x)


def test_bound_below_importance_weighted_bound_below_the_exact_likelihood() -> None:
    system, x = build(), samples(300)
    truth = exact(system, x).mean().item()
    elbo = system.log_likelihood(x)
    few, many = (system.log_likelihood(x, k) for k in (5, 5000))
    assert (elbo.kind, few.kind, elbo.values) == ("elbo", "iwae", D)
    assert elbo.nats.mean() < few.nats.mean() < many.nats.mean() < truth + 0.01
    assert truth - many.nats.mean() < 0.1 < truth - elbo.nats.mean()


def test_only_binary_images_have_probabilities() -> None:
    """With other intensities, the Bernoulli decoder takes them as probabilities; a Gaussian's value is a density."""
    system, x = build(), samples(4)
    density = system.log_likelihood(x.sign())
    assert (density.levels, density.density) == (None, True)


def test_the_bound_is_tight_for_the_true_posterior() -> None:
    system, x = build(), samples(500)
    W, b = system.decoder.mean.weight.detach(), system.decoder.mean.bias.detach()
    precision = torch.eye(Z) + W.T @ W / NOISE**2
    system.decoder.mean.weight.data = torch.linalg.qr(W)[0]  # with orthogonal columns, the posterior factorizes
    W = system.decoder.mean.weight.detach()
    precision = torch.eye(Z) + W.T @ W / NOISE**2
    covariance = torch.linalg.inv(precision)
    system.encoder.mean.weight.data = covariance @ W.T / NOISE**2
    system.encoder.mean.bias.data = -covariance @ W.T @ b / NOISE**2
    system.encoder.log_variance.data = covariance.diagonal().log()
    for k in (1, 3):  # every importance weight is p(x)
        torch.testing.assert_close(system.log_likelihood(x, k).nats, exact(system, x).double(), rtol=0, atol=1e-4)
    assert (
        abs(float((system.log_likelihood(x).nats - exact(system, x).detach()).mean())) < 0.1
    )  # unbiased with one draw


def test_terms_of_the_bound_match_torch_distributions() -> None:
    system, x = build("bernoulli"), torch.rand(7, D).round() * 2 - 1
    z = torch.randn(7, Z)
    logits = system.decoder.mean(z)
    ours = system.log_p_of_x(system.decoder(z), x)
    torch.testing.assert_close(ours, Independent(Bernoulli(logits=logits), 1).log_prob((x + 1) / 2))
    mean, log_variance = system.encoder(x)
    posterior = Normal(mean, (log_variance / 2).exp())
    torch.testing.assert_close(
        kl_to_standard_normal(mean, log_variance), kl_divergence(posterior, Normal(0.0, 1.0)).sum(1)
    )
    torch.testing.assert_close(log_normal(z, mean, log_variance), posterior.log_prob(z).sum(1))


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_both_estimators_agree_in_expectation(likelihood: str) -> None:
    """The means of gradients and values over many draws differ by less than four standard errors."""
    systems = {kind: build(likelihood, estimator=kind) for kind in "AB"}
    batch = VectorBatch(samples(4).clamp(-1, 1))
    found: dict[str, list[Tensor]] = {"A": [], "B": []}
    for kind, system in systems.items():
        for draw in range(500):
            system.random = torch.Generator().manual_seed(draw)
            loss = system.negative_bound(batch).loss
            gradients = torch.autograd.grad(loss, list(system.parameters()))
            found[kind].append(torch.cat([loss.detach()[None], *(g.flatten() for g in gradients)]))
    a, b = torch.stack(found["A"]), torch.stack(found["B"])
    error = (a - b).std(0) / len(a) ** 0.5  # the same draws for both
    assert ((a - b).mean(0).abs() <= 4 * error + 1e-6).all()
    assert (a.var(0) - b.var(0)).sum() > 0  # B has a lower total variance (section 2.3)


def test_a_round_equals_a_step_of_plain_pytorch() -> None:
    system, batch = build("bernoulli"), VectorBatch(samples(6).clamp(-1, 1))
    W = {name: p.detach().clone().requires_grad_() for name, p in system.named_parameters()}
    random = randomness.generator("cpu", 0, "autoencoder", 0, 0)
    x = batch.points
    mean = x @ W["encoder.mean.weight"].T + W["encoder.mean.bias"]
    log_variance = W["encoder.log_variance"].expand(6, -1)
    z = mean + (log_variance / 2).exp() * torch.randn(6, Z, generator=random)
    logits = z @ W["decoder.mean.weight"].T + W["decoder.mean.bias"]
    p = (x + 1) / 2
    log_p = (p * torch.nn.functional.logsigmoid(logits) + (1 - p) * torch.nn.functional.logsigmoid(-logits)).sum(1)
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
    (kl - log_p).mean().backward()
    system.round(batch)
    for name, parameter in system.named_parameters():
        torch.testing.assert_close(parameter, W[name].detach() - 0.1 * W[name].grad)
    assert system.progress.generator_updates == 1


def test_sample_encode_and_decode() -> None:
    system = build("bernoulli")
    assert isinstance(system, Generates)
    assert isinstance(system, Encodes)
    assert isinstance(system, HasLikelihood)
    assert not isinstance(system, Translates)
    z = system.draw(3, 10, 4).latents
    torch.testing.assert_close(system.sample(4, seed=3, start=10), 2 * system.decoder.mean(z).sigmoid() - 1)
    x = samples(3)
    torch.testing.assert_close(system.encode(x), system.encoder.mean(x))
    assert set(system.exports()) == {"encoder", "decoder"}


def test_a_decoder_with_a_different_likelihood_is_rejected() -> None:
    networks: dict[str, nn.Module] = {"encoder": LinearEncoder(), "decoder": LinearDecoder("gaussian")}
    with pytest.raises(UserError) as refused:
        VAE(networks, Z, "bernoulli", optimizers={"autoencoder": torch.optim.SGD})
    assert refused.value.key == "decoder.likelihood"


def test_a_bernoulli_decoder_of_points_is_rejected() -> None:
    with pytest.raises(UserError, match=r"^likelihood: bernoulli is for images, and the data are points; set it to g"):
        VAEDecoder((2,), Z)
