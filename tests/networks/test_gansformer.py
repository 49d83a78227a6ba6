"""GANsformer's generator: sizes, latents, and StyleGAN2's generator as a special case."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from saddlepoint.errors import UserError
from saddlepoint.networks import GANsformerGenerator, StyleGAN2Generator
from saddlepoint.networks.layers.bipartite import BipartiteAttention
from saddlepoint.networks.layers.norms import PixelNorm


def small(**options: Any) -> GANsformerGenerator:
    torch.manual_seed(0)
    given = {"latents": 3, "width": 8, "base": 64, "mapping_layers": 2, "dropout": 0.0, **options}
    return GANsformerGenerator((1, 16, 16), 4 * 6, **given)


@pytest.mark.parametrize("attention", ["simplex", "duplex"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 20), (2, 16, 32)], ids=str)
def test_shapes(shape: tuple[int, ...], attention: Any) -> None:
    torch.manual_seed(0)
    generator = GANsformerGenerator(shape, 12, 2, 4, 32, 2, attention)
    w = generator.map(torch.randn(3, 12))
    noise = torch.randn(3, generator.noise_dim)
    images, maps = generator.synthesise_with_attention(w, noise)
    assert images.shape == (3, *shape)
    assert [tuple(one.shape) for one in maps] == [(3, 2, *grid) for grid in generator.noise_shapes]
    for one in maps:
        np.testing.assert_allclose(one.sum(1).detach(), 1, rtol=1e-5)
    assert generator.eval()(3 * torch.randn(2, 12)).abs().max() <= 1


def test_parameters_at_256_px() -> None:
    """Besides StyleGAN2's with styles of 32 dimensions: attention after all convolutions, and the mapping network.

    Attention of a layer with D features has queries and modulation of D², values and places of 32 D, four biases of D,
    weights of 2 D and 16 centroids of 2 D.
    """
    with torch.device("meta"):
        ours = GANsformerGenerator((3, 256, 256), 544)
        base = StyleGAN2Generator((3, 256, 256), 544, 32, architecture="resnet")
    sizes = [4, 8, 8, 16, 16, 32, 32, 64, 64, 128, 128, 256, 256]
    channels = [min(32768 // size, 512) for size in sizes]
    attention = sum(2 * D**2 + 2 * 32 * D + 4 * D + 2 * D + 16 * 2 * D for D in channels)
    block = 2 * (32**2 + 32)
    mapping = 4 * (2 * block + 4 * (32**2 + 32) + 16 * 32)
    of_base = sum(p.numel() for name, p in base.named_parameters() if not name.startswith("mapping"))
    assert sum(p.numel() for p in ours.parameters()) == of_base + attention + mapping


def test_attention_is_where_the_size_of_the_feature_map_is_in_the_range() -> None:
    generator = small(smallest=8, largest=8)
    sizes = [module.grid for module in generator.modules() if isinstance(module, BipartiteAttention)]
    assert sizes == [(8, 8), (8, 8)]
    assert generator.noise_shapes == [(4, 4), (8, 8), (8, 8), (16, 16), (16, 16)]


def test_without_attention_it_is_stylegan2_with_the_global_style() -> None:
    generator, z = small(smallest=32), torch.randn(2, 24)
    w = generator.map(z)
    plain = StyleGAN2Generator((1, 16, 16), 24, 6, 8, 64, 2, "resnet")
    own = {name: value for name, value in generator.state_dict().items() if not name.startswith(("mapping", "average"))}
    plain.load_state_dict(own, strict=False)
    noise = torch.randn(2, generator.noise_dim)
    assert torch.equal(generator.synthesise(w, noise), plain.synthesise(w[..., -6:], noise))


def test_local_latents_act_through_attention_alone() -> None:
    generator, w = small(), torch.randn(2, 6, 24)
    other = torch.cat([torch.randn(2, 6, 18), w[..., 18:]], 2)
    assert not torch.allclose(generator.synthesise(w), generator.synthesise(other), atol=1e-3)
    for attention in generator.attentions.values():
        nn.init.zeros_(attention.modulation.parametrizations.weight.original)  # type: ignore[union-attr, arg-type]
    assert torch.equal(generator.synthesise(w), generator.synthesise(other))


def test_attention_comes_between_the_convolution_and_the_noise() -> None:
    generator, w = small(smallest=4, largest=4), torch.randn(2, 6, 24)
    nn.init.ones_(generator.convolutions[0].strength)
    noise = torch.randn(2, generator.noise_dim)
    seen: list[torch.Tensor] = []
    generator.convolutions[1].convolution.register_forward_hook(lambda module, given, output: seen.append(given[0]))
    generator.synthesise(w, noise)
    first = generator.convolutions[0]
    x = first.convolution(generator.constant.expand(2, -1, -1, -1), w[:, 0, 18:])
    x, _ = generator.attentions["0"](x, w[:, 0, :18].unflatten(1, (3, 6)))
    x = x + noise[:, :16].view(2, 1, 4, 4) + first.bias[:, None, None]
    expected = nn.functional.leaky_relu(x, 0.2) * math.sqrt(2)
    np.testing.assert_allclose(seen[0].detach(), expected.detach(), rtol=1e-5, atol=1e-6)


def test_the_mapping_network() -> None:
    generator, z = small(), torch.randn(2, 24)
    mapping = generator.mapping
    w = mapping(5 * z)
    np.testing.assert_allclose(w.detach(), mapping(z).detach(), rtol=1e-4, atol=1e-5)  # latents are normalized
    changed = torch.cat([z[:, :6] + 1, z[:, 6:]], 1)
    moved = (mapping(changed) - mapping(z)).abs().unflatten(1, (4, 6)).amax((0, 2)) > 0
    assert moved.tolist() == [True, True, True, False]  # local latents attend to each other, the global one is apart
    last = PixelNorm()(z[:, 18:])
    expected = (last + mapping.global_blocks[0].layers(last)) * math.sqrt(0.5)
    np.testing.assert_allclose(w[:, 18:].detach(), expected.detach(), rtol=1e-4, atol=1e-5)


def test_mixed_styles_are_those_of_the_other_latents_from_the_cut_on() -> None:
    generator, (z, others) = small(), torch.randn(2, 2, 24)
    w, v = generator.map(z), generator.map(others)
    expected = generator.synthesise(torch.cat([w[:, :2], v[:, 2:]], 1))
    assert torch.equal(generator(z, others=others, cut=torch.tensor(2)), expected)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match=r"latent_dim: must be a multiple of 17 for 16 local latents .* set it to 527"):
        GANsformerGenerator((1, 16, 16), 17 * 30 + 1)
    with pytest.raises(UserError, match="mapping_layers: must be even, got 3; set it to 4"):
        small(mapping_layers=3)
