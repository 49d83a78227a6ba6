"""ViTGAN's networks against closed forms and naive loops."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import fold, unfold
from torch.nn.utils import parametrize

from saddlepoint.errors import UserError
from saddlepoint.networks import ViTGANDiscriminator, ViTGANGenerator
from saddlepoint.networks.layers.spectral_norm import ImprovedSpectralNorm, SpectralNorm
from saddlepoint.networks.layers.transformer import Attention, to_tokens
from saddlepoint.networks.vitgan import ConvolutionPatches, ImplicitPatches


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_at_32_px() -> None:
    """With D = 384, 4 blocks and 64 tokens.

    A block has attention of 4D² + D weights (3D² + D with equal queries and keys) and an MLP of 8D² + 5D; the maps of a
    self-modulated norm have 2D² + 2D, a modulated layer from D to K has DK weights and a style of D² + D.
    """
    D, tokens = 384, 64
    with torch.device("meta"):
        generator = ViTGANGenerator((3, 32, 32), D)
        convolutions = ViTGANGenerator((3, 32, 32), D, patches="convolution")
    modulated = D**2 + D
    norm, mapping = 2 * D**2 + 2 * D, 8 * (D**2 + D)
    trunk = mapping + tokens * D + 4 * (12 * D**2 + 6 * D + 2 * norm) + norm
    output = 3 * D + modulated + 3
    assert count(generator) == trunk + 3 * D + (D**2 + modulated + D) + output
    assert count(convolutions) == trunk + 2 * (9 * D**2 + modulated + D) + output
    discriminator = ViTGANDiscriminator((3, 32, 32), spectral_norm="none")
    embed = (3 * 8 * 8 + 1) * D
    assert count(discriminator) == embed + (tokens + 2) * D + 4 * (11 * D**2 + 10 * D) + 2 * D + D + 1


SHAPES = [(1, 8, 8), (3, 16, 8), (2, 28, 20), (1, 10, 10), (3, 48, 48), (4, 32, 64), (3, 128, 128)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("patches", ["implicit", "convolution"])
def test_shapes(shape: tuple[int, ...], patches: Any) -> None:
    torch.manual_seed(0)
    generator = ViTGANGenerator(shape, 5, 8, 1, 2, 2, patches)
    images = generator(torch.randn(2, 5))
    output = ViTGANDiscriminator(shape, 8, 1, 2)(images)
    assert images.shape == (2, *shape)
    assert (output.logits.shape, output.features.shape) == ((2,), (2, 8))
    assert generator.eval()(torch.randn(2, 5)).abs().max() <= 1


def test_overlapping_patches_see_a_square_of_twice_their_side() -> None:
    """Pixels are in as many squares as the count map of unfold and fold has: four, fewer at the border."""
    critic = ViTGANDiscriminator((1, 16, 24), 4, 1, 1, spectral_norm="none")
    assert (critic.embed.kernel_size, critic.embed.stride, critic.embed.padding) == ((4, 4), (2, 2), (1, 1))
    nn.init.ones_(critic.embed.weight)
    nn.init.zeros_(critic.embed.bias)  # type: ignore[arg-type]
    x = torch.zeros(1, 1, 16, 24, requires_grad=True)
    to_tokens(critic.embed(x))[..., 0].sum().backward()
    ones = torch.ones(1, 1, 16, 24)
    counts = fold(unfold(ones, 4, padding=1, stride=2), (16, 24), 4, padding=1, stride=2)
    assert torch.equal(x.grad, counts)
    assert counts[0, 0, 1:-1, 1:-1].eq(4).all()


def test_implicit_patches_by_a_loop_over_pixels() -> None:
    torch.manual_seed(0)
    head = ImplicitPatches(6, 2, 4).double()
    nn.init.normal_(head.hidden_bias)
    tokens = torch.randn(2, 6, 2, 3, dtype=torch.float64)
    expected = torch.zeros(2, 2, 8, 12, dtype=torch.float64)
    places = torch.linspace(-1, 1, 4, dtype=torch.float64)
    for n in range(2):
        for row in range(8):
            for column in range(12):
                y = tokens[n, :, row // 4, column // 4]
                v = torch.stack([places[row % 4], places[column % 4]])
                wave = torch.sin(head.waves.weight.flatten(1) @ v + head.waves.bias)
                style = head.hidden.affine(y)
                matrix = head.hidden.weight.flatten(1) * head.hidden.scale * style
                matrix = matrix / (matrix.square().sum(1, keepdim=True) + 1e-8).sqrt()
                hidden = torch.sin(matrix @ wave + head.hidden_bias.flatten())
                last = head.output.convolution
                matrix = last.weight.flatten(1) * last.scale * last.affine(y)
                expected[n, :, row, column] = matrix @ hidden + head.output.bias
    np.testing.assert_allclose(head(tokens, tokens[:, :, 0, 0]).detach(), expected.detach(), rtol=1e-6, atol=1e-6)


def test_a_shift_of_the_coordinates_is_a_shift_of_the_phases() -> None:
    torch.manual_seed(0)
    head, tokens = ImplicitPatches(6, 1, 4), torch.randn(1, 6, 2, 2)
    before = head(tokens, tokens[:, :, 0, 0])
    shift = torch.tensor([0.3, -0.7])
    head.coordinates += shift[:, None, None]
    assert not torch.allclose(head(tokens, tokens[:, :, 0, 0]), before, atol=1e-3)
    with torch.no_grad():
        head.waves.bias -= head.waves.weight.flatten(1) @ shift  # type: ignore[operator]
    np.testing.assert_allclose(head(tokens, tokens[:, :, 0, 0]).detach(), before.detach(), atol=1e-5)


def test_convolutions_double_the_size_to_that_of_the_patches() -> None:
    assert [len(ConvolutionPatches(4, 1, side).layers) for side in (2, 4, 8, 16)] == [1, 2, 3, 4]


def test_latents_act_only_through_the_norms() -> None:
    """h_0 consists of positions, so that without modulation all samples are equal."""
    torch.manual_seed(0)
    generator, z = ViTGANGenerator((1, 16, 16), 5, 8, 2, 2, 2), torch.randn(3, 5)
    assert generator(z).std(0).max() > 1e-3
    for name, parameter in generator.named_parameters():
        if "norm" in name:
            nn.init.zeros_(parameter)
    images = generator(z)
    assert torch.equal(images[0], images[1])
    assert torch.equal(
        generator.mapping(2 * z[:1]).argsort(), generator.mapping(z[:1]).argsort()
    )  # latents are normalized


def test_the_mapping_network_has_a_hundredth_of_the_learning_rate() -> None:
    torch.manual_seed(0)
    layer = ViTGANGenerator((1, 16, 16), 64, 64, 1, 2, 1).mapping.layers[0]
    assert isinstance(layer, nn.Linear)
    original = layer.parametrizations.weight.original
    np.testing.assert_allclose(layer.weight.std().item(), 1 / 8, rtol=0.05)
    np.testing.assert_allclose((layer.weight / original).detach(), 0.01 / 8, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "found"), [("improved", ImprovedSpectralNorm), ("plain", SpectralNorm), ("none", None)]
)
def test_every_weight_is_normalized(kind: Any, found: Any) -> None:
    torch.manual_seed(0)
    critic = ViTGANDiscriminator((1, 16, 16), 8, 1, 2, spectral_norm=kind)
    layers = [module for module in critic.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    assert len(layers) == 1 + 3 + 2 + 1
    for layer in layers:
        assert parametrize.is_parametrized(layer, "weight") == (found is not None)
        if found is not None:
            assert type(layer.parametrizations.weight[0]) is found


@pytest.mark.parametrize("score", ["l2", "dot"])
def test_scores(score: Any) -> None:
    critic = ViTGANDiscriminator((1, 16, 16), 8, 2, 2, score)
    keys = [module.key for module in critic.modules() if isinstance(module, Attention)]
    assert [key is None for key in keys] == [score == "l2"] * 2


def test_a_step_of_r1_is_finite() -> None:
    torch.manual_seed(0)
    critic, x = ViTGANDiscriminator((1, 16, 16), 8, 2, 2), torch.randn(4, 1, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(critic(x).logits.sum(), x, create_graph=True)
    gradient.square().sum().backward()
    norms = [p.grad.norm() for name, p in critic.named_parameters() if p.grad is not None and "query" in name]
    assert len(norms) == 2
    assert all(math.isfinite(norm) and norm > 0 for norm in norms)


def test_sizes_that_patches_do_not_divide_are_refused() -> None:
    with pytest.raises(UserError, match="multiples of 4, got 34x34"):
        ViTGANGenerator((3, 34, 34), 8)
