"""Autoencoders as critics: sizes, energies, precision, and training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from saddlepoint.errors import UserError
from saddlepoint.networks import AutoencoderDiscriminator, AutoencoderGenerator, BEGANDiscriminator, BEGANGenerator
from saddlepoint.networks.layers.reconstruction import reconstruction_error

IMAGES = [(1, 8, 8), (2, 10, 14), (3, 16, 16), (1, 28, 28), (3, 32, 64), (4, 64, 48), (3, 128, 128)]


def pair(family: str, shape: tuple[int, ...], norm: str = "none") -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    if family == "began":
        return BEGANGenerator(shape, 5, 2), BEGANDiscriminator(shape, 2, 6)
    return AutoencoderGenerator(shape, 5, 2, norm), AutoencoderDiscriminator(shape, 2, norm)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("family", "shape"), [*[(f, s) for f in ("autoencoder", "began") for s in IMAGES], ("autoencoder", (2,))], ids=str
)
def test_supported_sizes(family: str, shape: tuple[int, ...]) -> None:
    generator, discriminator = pair(family, shape)
    samples = generator(torch.randn(3, 5))
    assert samples.shape == (3, *shape)
    if len(shape) == 3:
        assert samples.abs().max() <= 1
    energies, code, classes = discriminator(samples)
    assert discriminator.critic == "energy"
    assert energies.shape == (3,)
    assert (energies >= 0).all()
    assert code.shape[0] == 3
    assert code.dim() == 2
    assert classes is None
    torch.testing.assert_close(
        energies, reconstruction_error(samples, discriminator.reconstruct(samples), discriminator.distance)
    )
    energies.sum().backward()
    for name, parameter in [*generator.named_parameters(), *discriminator.named_parameters()]:
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_energies_by_hand() -> None:
    """L2 is 28 times the root mean square, which is the Euclidean norm at 28×28; L1 is the mean absolute error."""
    rng = np.random.default_rng(0)
    for shape in ((1, 28, 28), (3, 5, 4), (2,)):
        x, y = rng.normal(size=(2, 4, *shape))
        flat = (x - y).reshape(4, -1)
        l2, l1 = (reconstruction_error(torch.tensor(x), torch.tensor(y), kind) for kind in ("l2", "l1"))
        np.testing.assert_allclose(l2, 28 * np.sqrt((flat**2).mean(1)), rtol=1e-12)
        np.testing.assert_allclose(l1, np.abs(flat).mean(1), rtol=1e-12)
        if shape == (1, 28, 28):
            np.testing.assert_allclose(l2, np.linalg.norm(flat, axis=1), rtol=1e-12)


def test_a_perfect_reconstruction_has_a_finite_gradient() -> None:
    x = torch.ones(2, 3, requires_grad=True)
    reconstruction_error(x, torch.ones(2, 3), "l2").sum().backward()
    assert x.grad is not None
    assert not x.grad.any()


def test_layers_of_the_papers_at_64_px() -> None:
    """EBGAN: 64, 128 and 256 channels down to 8×8, and back. BEGAN: n to 4n channels, a code of 64, then n channels."""
    ebgan = AutoencoderDiscriminator((3, 64, 64), 64, "batch")
    strided = [m for m in ebgan.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert [m.in_channels for m in strided] == [3, 64, 128, 256, 128, 64]
    assert strided[-1].out_channels == 3
    assert all(m.kernel_size == (4, 4) and m.stride == (2, 2) for m in strided)
    assert ebgan(torch.zeros(2, 3, 64, 64)).features.shape == (2, 256 * 8 * 8)
    began = BEGANDiscriminator((3, 64, 64), 64)
    encoder = [m.out_channels for m in began.encoder if isinstance(m, nn.Conv2d)]
    assert encoder == [64, 64, 64, 128, 128, 128, 192, 192, 192, 256, 256, 256]
    assert [(m.in_features, m.out_features) for m in began.modules() if isinstance(m, nn.Linear)] == [
        (256 * 8 * 8, 64),
        (64, 64 * 8 * 8),
    ]
    decoder = [m for m in began.decoder if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in decoder] == [64] * 8 + [3]
    generator = BEGANGenerator((3, 64, 64), 64, 64)
    assert BEGANDiscriminator((1, 8, 8), 2)(torch.zeros(2, 1, 8, 8)).features.shape == (2, 8)  # still a bottleneck
    assert sum(p.numel() for p in generator.parameters()) == sum(p.numel() for p in began.decoder.parameters())


@pytest.mark.parametrize("family", ["autoencoder", "began"])
def test_energies_are_float32_under_autocast(family: str) -> None:
    generator, discriminator = pair(family, (1, 16, 16))
    with torch.autocast("cpu", torch.bfloat16):
        samples = generator(torch.randn(3, 5))
        energies = discriminator(samples).logits
    assert (samples.dtype, energies.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(energies, discriminator(samples).logits, rtol=2e-2, atol=1e-2)


def test_spectral_norm_and_norm_options() -> None:
    network = AutoencoderDiscriminator((1, 16, 16), 2, "batch", spectral_norm=True)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in network.modules()) == 2
    assert len([name for name, _ in network.named_buffers() if name.endswith(".u")]) == 4
    assert any(name.endswith(".u") for name, _ in BEGANDiscriminator((1, 8, 8), 2, spectral_norm=True).named_buffers())


def test_after_training_the_energy_of_data_is_below_that_of_noise() -> None:
    torch.manual_seed(0)
    stripes = torch.sin(torch.arange(8.0))[None, None, :].expand(32, 1, 8, 8) * torch.rand(32, 1, 1, 1)
    noise = torch.rand(32, 1, 8, 8) * 2 - 1
    for network in (AutoencoderDiscriminator((1, 8, 8), 4, distance="l1"), BEGANDiscriminator((1, 8, 8), 4, 4)):
        optimizer = torch.optim.Adam(network.parameters(), 1e-2)
        for _ in range(40):
            optimizer.zero_grad()
            network(stripes).logits.mean().backward()
            optimizer.step()
        with torch.no_grad():
            assert network(stripes).logits.mean() < 0.4 * network(noise).logits.mean()


def test_unsupported_shapes_are_rejected() -> None:
    with pytest.raises(UserError, match=r"^shape: .*; set it to "):
        AutoencoderDiscriminator((1, 9, 9))
    with pytest.raises(UserError, match="network 'began' supports only images"):
        BEGANGenerator((2,), 4)
    with pytest.raises(UserError, match="instance normalization needs images"):
        AutoencoderGenerator((2,), 4, norm="instance")
