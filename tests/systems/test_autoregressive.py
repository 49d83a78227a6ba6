"""The autoregressive system on images that are small enough to enumerate."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from saddlepoint import randomness
from saddlepoint.errors import UserError
from saddlepoint.networks import DiagonalBiLSTMDecoder, PixelCNNDecoder, RowLSTMDecoder
from saddlepoint.networks.layers.pixels import drawn, intensities
from saddlepoint.systems import Autoregressive
from saddlepoint.systems.capabilities import Completes, Encodes, Generates, HasLatents, HasLikelihood
from saddlepoint.types import ImageBatch

NETWORKS: dict[str, Any] = {
    "pixelcnn": PixelCNNDecoder,
    "gated": partial(PixelCNNDecoder, gated=True),
    "row_lstm": RowLSTMDecoder,
    "diagonal_bilstm": DiagonalBiLSTMDecoder,
}


def system_of(name: str, shape: tuple[int, int, int], likelihood: str = "bernoulli", **game: Any) -> Autoregressive:
    torch.manual_seed(0)
    decoder = NETWORKS[name](shape, 6, 2, 6, likelihood=likelihood)
    for parameter in decoder.parameters():  # far from uniform
        parameter.data.mul_(3)
    system = Autoregressive(
        networks={"decoder": decoder}, optimizers={"decoder": partial(torch.optim.Adam, lr=0.1)}, **game
    )
    system.random = randomness.generator("cpu", 0, "turn")
    return system


def all_images(shape: tuple[int, int, int]) -> Tensor:
    values = shape[0] * shape[1] * shape[2]
    return torch.tensor(list(itertools.product((-1.0, 1.0), repeat=values))).view(-1, *shape)


def binary(n: int, shape: tuple[int, int, int]) -> Tensor:
    return (torch.rand(n, *shape) < 0.5).float() * 2 - 1


@pytest.mark.parametrize("name", NETWORKS)
def test_log_likelihoods_are_exact(name: str) -> None:
    system = system_of(name, (1, 2, 2))
    found = system.log_likelihood(all_images((1, 2, 2)))
    assert system.likelihood_is_exact()
    assert (found.kind, found.values, found.levels) == ("exact", 4, 2)
    assert found.nats.exp().sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_samples_follow_the_probabilities(name: str) -> None:
    system, images = system_of(name, (1, 2, 2)), all_images((1, 2, 2))
    probabilities = system.log_likelihood(images).nats.exp()
    samples = system.sample(4096, seed=1)
    counts = (samples.unsqueeze(1) == images).flatten(2).all(2).sum(0)
    assert counts.sum() == 4096
    assert chisquare(counts.numpy(), (4096 * probabilities / probabilities.sum()).numpy()).pvalue > 1e-3


@pytest.mark.parametrize("likelihood", ["bernoulli", "categorical"])
@pytest.mark.parametrize("name", NETWORKS)
def test_samples_equal_those_of_a_forward_pass_for_each_pixel(name: str, likelihood: str) -> None:
    shape = (3, 4, 5)
    system = system_of(name, shape, likelihood)
    uniform = system.draw(2, 0, 3).latents
    canvas = torch.zeros(3, *shape)
    with torch.no_grad():
        for r, c, channel in itertools.product(range(4), range(5), range(3)):
            logits = system.decoder(canvas)
            canvas[:, channel, r, c] = drawn(logits[:, :, channel, r, c], uniform[:, channel, r, c])
    assert torch.equal(system.sample(3, seed=2), canvas)


def test_samples_do_not_depend_on_how_many_are_drawn() -> None:
    system = system_of("pixelcnn", (1, 4, 4))
    assert torch.equal(system.sample(70, seed=3)[66:], system.sample(4, seed=3, start=66))


@pytest.mark.parametrize("likelihood", ["bernoulli", "categorical"])
def test_the_gradient_is_that_of_a_plain_loop(likelihood: str) -> None:
    shape = (2, 3, 3)
    system = system_of("pixelcnn", shape, likelihood)
    torch.manual_seed(1)
    x = binary(5, shape) if likelihood == "bernoulli" else torch.randint(256, (5, *shape)) / 127.5 - 1
    turn = system.negative_log_likelihood(ImageBatch(x))
    logits, total = system.decoder(x), torch.zeros(())
    for i, k, r, c in itertools.product(range(5), range(2), range(3), range(3)):
        if likelihood == "bernoulli":
            total = total + binary_cross_entropy_with_logits(logits[i, 0, k, r, c], (x[i, k, r, c] + 1) / 2)
        else:
            total = total + cross_entropy(logits[i, :, k, r, c], ((x[i, k, r, c] + 1) * 127.5).round().long())
    parameters = list(system.decoder.parameters())
    expected = torch.autograd.grad(total / 5, parameters)
    for ours, theirs in zip(torch.autograd.grad(turn.loss, parameters), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(turn.loss, -system.log_likelihood(x).nats.mean().float())


@pytest.mark.parametrize("name", NETWORKS)
def test_completions_keep_what_is_known_and_follow_the_conditional_distribution(name: str) -> None:
    system, images = system_of(name, (1, 2, 2)), all_images((1, 2, 2))
    known = torch.tensor([[True, True], [False, False]]).view(1, 1, 2, 2)
    start = images[6:7].expand(4096, -1, -1, -1)
    completed = system.complete(start, known, seed=4)
    assert torch.equal(completed[:, :, 0], start[:, :, 0])
    alike = (images[:, :, 0] == images[6, :, 0]).flatten(1).all(1)
    weights = system.log_likelihood(images[alike]).nats.exp()
    counts = (completed.unsqueeze(1) == images[alike]).flatten(2).all(2).sum(0)
    assert counts.sum() == 4096
    assert chisquare(counts.numpy(), (4096 * weights / weights.sum()).numpy()).pvalue > 1e-3


def test_completions_leave_their_input_unchanged() -> None:
    system = system_of("gated", (1, 3, 3))
    images = binary(2, (1, 3, 3))
    before = images.clone()
    nothing = torch.zeros(1, 1, 3, 3, dtype=torch.bool)
    system.complete(images, nothing)
    assert torch.equal(images, before)
    assert torch.equal(system.complete(images, ~nothing), images)


def test_images_that_are_not_binary_are_refused() -> None:
    system = system_of("pixelcnn", (1, 3, 3))
    known = torch.arange(9).view(1, 1, 3, 3) < 6
    gray = torch.where(known, 0.5, 1.0)
    with pytest.raises(UserError, match=r"^images: the model is one of black and white pixels"):
        system.complete(gray, known)
    system.complete(gray, ~known)  # those that are drawn do not matter
    with pytest.raises(UserError, match="black and white") as caught:
        system.log_likelihood(torch.zeros(1, 1, 3, 3))
    assert caught.value.key == "network.likelihood"


def test_there_are_no_latents_to_truncate() -> None:
    with pytest.raises(UserError, match="no latents"):
        system_of("pixelcnn", (1, 3, 3)).sample(1, truncation=0.5)


def test_its_capabilities() -> None:
    system = system_of("pixelcnn", (1, 3, 3))
    assert isinstance(system, Generates)
    assert isinstance(system, HasLikelihood)
    assert isinstance(system, Completes)
    assert not isinstance(system, HasLatents)
    assert not isinstance(system, Encodes)


def test_categorical_samples_are_eight_bit_intensities() -> None:
    samples = system_of("pixelcnn", (3, 4, 4), "categorical").sample(2, seed=0)
    torch.testing.assert_close(samples, intensities(samples) / 127.5 - 1, rtol=0, atol=1e-6)
