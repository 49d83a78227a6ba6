"""The VAE's networks against a reference computation."""

import numpy as np
import pytest
import torch
from torch import nn

from saddlepoint.errors import UserError
from saddlepoint.networks import VAEDecoder, VAEEncoder
from saddlepoint.networks.vae import BernoulliSamples, GaussianCode, GaussianSamples


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def affine(layer: nn.Linear, x: np.ndarray) -> np.ndarray:
    return x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()


def test_parameters_of_appendix_c_for_mnist() -> None:
    # Encoder: 500 units, two linear layers to 20 latents. Decoder: 500 units to 784 logits, or means and variances.
    assert count(VAEEncoder((1, 28, 28), 20)) == 785 * 500 + 2 * 501 * 20
    assert count(VAEDecoder((1, 28, 28), 20)) == 21 * 500 + 501 * 784
    assert count(VAEDecoder((1, 28, 28), 20, likelihood="gaussian")) == 21 * 500 + 2 * 501 * 784


def test_networks_of_two_hidden_layers_by_hand() -> None:
    torch.manual_seed(0)
    x, z = np.random.default_rng(0).normal(size=(2, 5, 6)).astype(np.float32)
    encoder = VAEEncoder((1, 2, 3), 4, hidden=[7, 8])
    decoder = VAEDecoder((1, 2, 3), 6, hidden=[8, 7], activation="relu", likelihood="gaussian")
    bernoulli = VAEDecoder((1, 2, 3), 6, hidden=[8, 7], activation="leaky_relu")
    for parameter in [p for network in (encoder, decoder, bernoulli) for p in network.parameters()]:
        nn.init.normal_(parameter)  # nonzero biases, so that a missing bias is detected

    h = np.tanh(affine(encoder.trunk[2], np.tanh(affine(encoder.trunk[0], x))))
    code = encoder(torch.from_numpy(x).view(5, 1, 2, 3))
    assert isinstance(code, GaussianCode)
    np.testing.assert_allclose(code.mean.detach(), affine(encoder.mean, h), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(code.log_variance.detach(), affine(encoder.log_variance, h), rtol=1e-4, atol=1e-5)

    h = np.maximum(affine(decoder.trunk[2], np.maximum(affine(decoder.trunk[0], z), 0)), 0)
    samples = decoder(torch.from_numpy(z))
    assert isinstance(samples, GaussianSamples)
    for name in ("mean", "log_variance"):
        expected = affine(getattr(decoder, name), h).reshape(5, 1, 2, 3)
        np.testing.assert_allclose(getattr(samples, name).detach(), expected, rtol=1e-4, atol=1e-5)

    def leaky(a: np.ndarray) -> np.ndarray:
        return np.where(a > 0, a, 0.2 * a)

    h = leaky(affine(bernoulli.trunk[2], leaky(affine(bernoulli.trunk[0], z))))
    pixels = bernoulli(torch.from_numpy(z))
    assert isinstance(pixels, BernoulliSamples)
    expected = affine(bernoulli.logits, h).reshape(5, 1, 2, 3)
    np.testing.assert_allclose(pixels.logits.detach(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 5, 9), (2,)], ids=str)
@pytest.mark.parametrize("hidden", [[], [6], [6, 5, 4]], ids=str)
def test_images_and_points_of_any_size(shape: tuple[int, ...], hidden: list[int]) -> None:
    encoder, decoder = VAEEncoder(shape, 3, hidden), VAEDecoder(shape, 3, hidden, likelihood="gaussian")
    assert (encoder.shape, encoder.latent_dim, decoder.shape, decoder.latent_dim) == (shape, 3, shape, 3)
    mean, log_variance = encoder(torch.randn(4, *shape))
    assert mean.shape == log_variance.shape == (4, 3)
    assert [part.shape for part in decoder(mean)] == [(4, *shape)] * 2
    if len(shape) == 3:
        assert VAEDecoder(shape, 3, hidden)(mean).logits.shape == (4, *shape)


def test_initial_std() -> None:
    """The variance of 0.01 is the paper's."""
    torch.manual_seed(0)
    for network in (VAEEncoder((1, 28, 28), 20, initial_std=0.1), VAEDecoder((1, 28, 28), 20, initial_std=0.1)):
        for layer in [module for module in network.modules() if isinstance(module, nn.Linear)]:
            np.testing.assert_allclose(layer.weight.detach().var(), 0.01, rtol=0.05)
            assert layer.bias.count_nonzero() == 0


def test_unsupported_shapes_are_rejected() -> None:
    with pytest.raises(UserError, match="network 'vae' supports images"):
        VAEDecoder((3, 4), 2)
