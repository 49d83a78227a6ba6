"""StyleGAN2's networks: published numbers of parameters, styles and noise."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, leaky_relu, one_hot

from saddlepoint.errors import UserError
from saddlepoint.networks import StyleGAN2Discriminator, StyleGAN2Generator
from saddlepoint.networks.layers.filtered import blur, filter_down, filter_up
from saddlepoint.networks.layers.statistics import frozen_statistics
from saddlepoint.networks.layers.styles import MappingNetwork

SHAPE, Z = (3, 16, 16), 6


def small(**options: object) -> StyleGAN2Generator:
    torch.manual_seed(0)
    return StyleGAN2Generator(SHAPE, Z, 5, 8, mapping_layers=2, **options)  # type: ignore[arg-type]


def noisy(network: StyleGAN2Generator) -> StyleGAN2Generator:
    """Set the strength of the noise, which is 0 at first."""
    for convolution in network.convolutions:
        torch.nn.init.constant_(convolution.strength, 0.3)  # type: ignore[arg-type]
    return network


def test_numbers_of_parameters_at_1024_px() -> None:
    """Configuration F for images of 1024 px has 30.4 M and 29.0 M parameters."""
    with torch.device("meta"):
        generator, discriminator = StyleGAN2Generator((3, 1024, 1024)), StyleGAN2Discriminator((3, 1024, 1024))
    assert sum(p.numel() for p in generator.parameters()) == 30_370_060
    assert sum(p.numel() for p in discriminator.parameters()) == 29_012_513
    assert generator.style_count == 18
    assert generator.noise_dim == 2 * sum(4**k for k in range(2, 11)) - 16


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 16, 8), (1, 8, 8)])
def test_shapes(architecture: str, shape: tuple[int, int, int]) -> None:
    generator = StyleGAN2Generator(shape, Z, 5, 4, 64, 1, architecture=architecture)  # type: ignore[arg-type]
    critic = StyleGAN2Discriminator(shape, 4, 64, 1, architecture=architecture)  # type: ignore[arg-type]
    images = generator(torch.randn(8, Z), None, torch.randn(8, generator.noise_dim))
    output = critic(images)
    assert (images.shape, output.logits.shape, output.features.shape) == ((8, *shape), (8,), (8, 4))
    (images.square().mean() + output.logits.square().mean()).backward()
    for network in (generator, critic):
        assert all(p.grad is not None for p in network.parameters())


def test_the_mapping_network_is_a_perceptron_of_normalized_latents_and_embeddings() -> None:
    torch.manual_seed(0)
    network = MappingNetwork(4, 5, 2, num_classes=3).double()
    z, labels = torch.randn(7, 4, dtype=torch.float64), torch.arange(7) % 3
    embedded = one_hot(labels, 3).double() @ network.embed.weight.T + network.embed.bias
    x = torch.cat([part / part.square().mean(1, keepdim=True).sqrt() for part in (z, embedded)], 1)
    for index in (0, 2):
        raw = network.layers[index].parametrizations.weight.original  # type: ignore[union-attr]
        x = leaky_relu(x @ raw.T * 0.01 / math.sqrt(raw.shape[1]), 0.2) * math.sqrt(2)  # type: ignore[operator, arg-type]
    torch.testing.assert_close(network(z, labels), x, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(network(3 * z, labels), network(z, labels), rtol=1e-6, atol=1e-6)


def test_forward_is_synthesis_of_the_mapping() -> None:
    network = noisy(small()).eval()
    z, noise = torch.randn(4, Z), torch.randn(4, network.noise_dim)
    w = network.map(z)
    assert w.shape == (4, network.style_count, 5) == (4, 6, 5)
    torch.testing.assert_close(network(z, None, noise), network.synthesise(w, noise).clamp(-1, 1))
    assert network.synthesise(3 * w, noise).abs().max() > 1  # no tanh


def by_hand(network: StyleGAN2Generator, w: Tensor, noise: Tensor) -> Tensor:
    """The skip generator of figure 7 b, with the noise of each layer cut from the row."""
    x, image, start = network.constant.expand(len(w), -1, -1, -1), None, 0
    for k, layer in enumerate(network.convolutions):
        x = layer.convolution(x, w[:, k])  # type: ignore[operator, union-attr]
        side = x.shape[2]
        plane = noise[:, start : start + side**2].reshape(-1, 1, side, side)
        start += side**2
        x = math.sqrt(2) * leaky_relu(x + layer.strength * plane + layer.bias[None, :, None, None], 0.2)  # type: ignore[operator, index]
        if k % 2 == 0:
            colors = network.to_rgb[k // 2](x, w[:, k + 1])
            image = colors if image is None else filter_up(image) + colors
    assert image is not None
    assert start == noise.shape[1]
    return image


def test_synthesis_sums_the_images_of_all_sizes() -> None:
    network = noisy(small()).double()
    w, noise = torch.randn(2, 6, 5).double(), torch.randn(2, network.noise_dim).double()
    torch.testing.assert_close(network.synthesise(w, noise), by_hand(network, w, noise))


def test_colors_are_modulated_without_demodulation() -> None:
    layer, x, w = small().to_rgb[0], torch.randn(2, 8, 4, 4), torch.randn(2, 5)
    styles = layer.convolution.affine(w)  # type: ignore[operator, union-attr]
    weight = layer.convolution.weight / math.sqrt(8)  # type: ignore[operator, union-attr]
    torch.testing.assert_close(layer(x, w), conv2d(x * styles[:, :, None, None], weight))
    torch.testing.assert_close(styles.mean(), torch.tensor(1.0), atol=0.8, rtol=0)  # the bias of styles is 1 at first


def test_noise() -> None:
    network, z = small().eval(), torch.randn(3, Z)
    one, other = torch.randn(2, 3, network.noise_dim)
    assert torch.equal(network(z, None, one), network(z, None, other))  # the strength is 0 at first
    assert torch.equal(network(z, None, one), network(z))
    noisy(network)
    assert not torch.equal(network(z, None, one), network(z, None, other))
    torch.testing.assert_close(network(z, None, 0 * one), network(z))


def test_truncation() -> None:
    network = small()
    network.map(torch.randn(64, Z))
    w = network.eval().map(torch.randn(4, Z))
    assert torch.equal(network.truncate(w, 1.0), w)
    images = network.synthesise(network.truncate(w, 0.0))
    torch.testing.assert_close(images, images[:1].expand(4, -1, -1, -1))
    center = network.average.mean
    torch.testing.assert_close(network.truncate(w, 0.7), center + 0.7 * (w - center))
    partly = network.truncate(w, 0.5, cutoff=2)
    torch.testing.assert_close(partly[:, :2], center + 0.5 * (w[:, :2] - center))
    assert torch.equal(partly[:, 2:], w[:, 2:])


def test_the_mean_style_follows_the_main_latents_in_training() -> None:
    network, z = small(), torch.randn(8, Z)
    mean = network.mapping(z).mean(0)
    network(z, None, None, torch.randn(8, Z), torch.tensor(2))
    torch.testing.assert_close(network.average.mean, 0.005 * mean)
    with frozen_statistics(network):
        network(z)
    network.eval()(z)
    torch.testing.assert_close(network.average.mean, 0.005 * mean)


@pytest.mark.parametrize("cut", range(1, 7))
def test_mixing_replaces_styles_from_the_cut_on(cut: int) -> None:
    network = small().eval()
    z, others = torch.randn(2, 3, Z)
    w, w_others = network.map(z), network.map(others)
    expected = network.synthesise(torch.cat([w[:, :cut], w_others[:, cut:]], 1)).clamp(-1, 1)
    mixed = network(z, None, None, others, torch.tensor(cut))
    torch.testing.assert_close(mixed, expected)
    assert torch.allclose(mixed, network(z), atol=1e-6) == (cut == network.style_count)


def test_coarse_styles_alone_determine_the_coarse_features() -> None:
    network = small().eval()
    seen: list[Tensor] = []
    network.convolutions[1].register_forward_hook(lambda module, inputs, output: seen.append(output))
    z, others = torch.randn(2, 3, Z)
    network(z)
    network(z, None, None, others, torch.tensor(2))
    network(z, None, None, others, torch.tensor(1))
    torch.testing.assert_close(seen[0], seen[1])
    assert not torch.allclose(seen[0], seen[2], atol=1e-3)


def test_labels() -> None:
    network = small(conditioning="concat", num_classes=3).eval()
    critic = StyleGAN2Discriminator(SHAPE, 8, mapping_layers=2, conditioning="projection", num_classes=3)
    z, labels = torch.randn(4, Z), torch.tensor([0, 1, 2, 0])
    images = network(z, labels)
    assert not torch.equal(images, network(z, labels.roll(1)))
    output = critic(images, labels)
    projected = critic.project(output.features) * critic.mapping(None, labels)
    torch.testing.assert_close(output.logits, projected.sum(1) / math.sqrt(8))
    with pytest.raises(UserError, match="got no labels"):
        critic(images)
    with pytest.raises(UserError, match="needs labels"):
        small(conditioning="concat")


def test_a_residual_critic_adds_the_filtered_shortcut() -> None:
    torch.manual_seed(0)
    block = StyleGAN2Discriminator(SHAPE, 8).blocks[0]
    x = torch.randn(2, 8, 16, 16)
    shortcut = conv2d(filter_down(x), block.shortcut.weight)  # type: ignore[union-attr, arg-type]
    expected = (block.second(blur(block.first(x), 2)) + shortcut) / math.sqrt(2)  # type: ignore[operator]
    torch.testing.assert_close(block(x), expected)
    assert expected.shape == (2, 8, 8, 8)


def test_the_nearest_supported_size_may_be_above_128() -> None:
    with pytest.raises(UserError, match=r"images of 8 to 1024 px .* got 300x300; set it to 320"):
        StyleGAN2Generator((3, 300, 300), 8, 4, 4)
