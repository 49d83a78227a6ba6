"""GANsformer is StyleGAN2 with a picture of what the latents attend to."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from saddlepoint.errors import UserError
from saddlepoint.losses import NonSaturating
from saddlepoint.networks import GANsformerGenerator, StyleGAN2Discriminator, StyleGAN2Generator
from saddlepoint.networks.layers.modulated import ModulatedConv2d
from saddlepoint.systems import GANsformer
from saddlepoint.systems.capabilities import Generates, HasLatents, Picture

SHAPE = (1, 8, 8)


def build(generator: Any = None, shape: tuple[int, int, int] = SHAPE, **options: Any) -> GANsformer:
    torch.manual_seed(0)
    networks = {
        "generator": generator or GANsformerGenerator(shape, 12, 3, 4, 32, 2, **options),
        "discriminator": StyleGAN2Discriminator(shape, 4, 32),
    }
    optimizers = dict.fromkeys(("generator", "discriminator"), partial(torch.optim.SGD, lr=0.1))
    return GANsformer(networks, loss=NonSaturating(), latent_dim=12, optimizers=optimizers)


def test_the_picture_has_a_map_of_each_latent_beside_each_sample() -> None:
    system = build()
    shown = system.pictures(16, 5, None)
    picture = shown["attention"]
    assert isinstance(picture, Picture)
    assert picture.columns == 1 + 3
    rows = picture.samples.unflatten(0, (-1, 4)).transpose(0, 1)
    assert rows.shape == (1 + 3, 4, *SHAPE)
    np.testing.assert_allclose(rows[0], system.sample(4, seed=5), atol=1e-5)
    sums = ((rows[1:] + 1) / 2).sum(0)  # the maps of a pixel sum to 1, before they are scaled
    np.testing.assert_allclose(sums, sums[:, :1, :1, :1].expand_as(sums), rtol=1e-5)
    network = system.network("generator")
    draw = system.draw(5, 0, 4)
    _, maps = network.eval().synthesise_with_attention(system.styles(draw), draw.noise)  # type: ignore[operator]
    largest = maps[-1].amax((1, 2, 3), keepdim=True)
    np.testing.assert_allclose((rows[3] + 1) / 2, (maps[-1][:, 2:] / largest).detach(), atol=1e-6)


def test_a_fourth_channel_is_not_shown() -> None:
    """It would be the opacity of the maps."""
    picture = build(shape=(4, 8, 8)).pictures(16, 5, None)["attention"]
    assert isinstance(picture, Picture)
    assert picture.samples.shape[1:] == (3, 8, 8)


def test_maps_of_a_smaller_layer_have_the_size_of_the_image() -> None:
    images, maps = build(smallest=4, largest=4).attention(2, 0)
    assert (images.shape, maps.shape) == ((2, *SHAPE), (2, 3, 8, 8))
    blocks = maps.unflatten(2, (4, 2)).unflatten(4, (4, 2))
    assert torch.equal(blocks, blocks[:, :, :, :1, :, :1].expand_as(blocks))


def test_without_attention_there_is_no_such_picture() -> None:
    assert set(build(smallest=16).pictures(4, 0, None)) == {"samples"}


@pytest.mark.parametrize("smallest", [4, 16])
def test_style_weight_maps_changes_of_styles_to_changes_of_values_and_scales(smallest: int) -> None:
    system = build(smallest=smallest)
    network, (w, v) = system.generator, torch.randn(2, 12)
    found = system.style_weight(ema=False) @ (v - w)
    values = [part.value for part in network.attentions.values()]
    scales = [layer.affine for layer in network.modules() if isinstance(layer, ModulatedConv2d)]
    change = []
    for index, latents in enumerate((v - w).split(3)):
        zero = torch.zeros(3)
        change += [layer(latents) - layer(zero) for layer in (scales if index == 3 else values)]
    np.testing.assert_allclose(found, torch.cat(change).detach(), rtol=1e-4, atol=1e-5)


def test_samples_do_not_depend_on_their_number() -> None:
    system = build()
    assert isinstance(system, Generates)
    assert isinstance(system, HasLatents)
    assert torch.equal(system.sample(5, seed=3)[4:], system.sample(1, seed=3, start=4))


def test_a_generator_without_local_latents_is_refused() -> None:
    with pytest.raises(UserError, match="generator: GANsformer needs a generator with local latents"):
        build(StyleGAN2Generator(SHAPE, 12, 4, 4, 32, 2))
