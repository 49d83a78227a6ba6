"""Frozen blocks of discriminators: which weights are trained, in a step and by the optimizer."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from saddlepoint.errors import UserError
from saddlepoint.losses import NonSaturating
from saddlepoint.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    MLPDiscriminator,
    ProGANDiscriminator,
    ResNetDiscriminator,
    StyleGAN2Discriminator,
)
from saddlepoint.systems import GAN
from saddlepoint.systems.freezing import freeze_blocks
from saddlepoint.types import CriticOutput

Network = partial[Any]


def frozen(network: nn.Module) -> set[str]:
    return {name for name, parameter in network.named_parameters() if not parameter.requires_grad}


@pytest.mark.parametrize(
    ("network", "count", "names"),
    [
        (partial(DCGANDiscriminator, (1, 16, 16), 4), 1, {"trunk.0.weight", "trunk.0.bias"}),
        (
            partial(DCGANDiscriminator, (1, 16, 16), 4),
            2,
            {"trunk.0.weight", "trunk.0.bias", "trunk.2.weight", "trunk.3.weight", "trunk.3.bias"},
        ),
        (partial(MLPDiscriminator, (2,), (8, 8)), 1, {"trunk.0.weight", "trunk.0.bias"}),
        (
            partial(ResNetDiscriminator, (1, 32, 32), 4),
            1,
            {f"blocks.0.{layer}.{kind}" for layer in ("conv1", "conv2", "skip") for kind in ("weight", "bias")},
        ),
    ],
)
def test_the_first_blocks_are_frozen(network: Network, count: int, names: set[str]) -> None:
    built = network()
    freeze_blocks(built, count)
    assert frozen(built) == names


@pytest.mark.parametrize(
    ("network", "block", "from_rgb"),  # in the order of the forward pass; coarser sizes enter later blocks
    [
        (partial(StyleGAN2Discriminator), "blocks.0.", "from_rgb.0."),
        (partial(StyleGAN2Discriminator, architecture="skip"), "blocks.0.", "from_rgb.0."),
        (ProGANDiscriminator, "blocks.1.", "from_rgb.2."),
    ],
)
def test_networks_that_convert_colours_first(network: Network, block: str, from_rgb: str) -> None:
    built = network((1, 16, 16), 4)
    freeze_blocks(built, 1)
    names = {name for name, _ in built.named_parameters() if name.startswith((from_rgb, block))}
    assert frozen(built) == names
    assert {name.partition(".")[0] for name in names} == {"from_rgb", "blocks"}


def test_labels_are_trained_and_all_blocks_can_be_frozen() -> None:
    network = DCGANDiscriminator((1, 16, 16), 4, norm="none", conditioning="projection", num_classes=3)
    freeze_blocks(network, 2)
    assert set(dict(network.named_parameters())) - frozen(network) == {
        "logits.weight", "logits.bias", "labels.embedding.weight"
    }  # fmt: skip


def test_a_turn_changes_only_the_other_weights() -> None:
    torch.manual_seed(0)
    networks = {"generator": DCGANGenerator((1, 16, 16), 6, 4), "discriminator": DCGANDiscriminator((1, 16, 16), 4)}
    optimizers = dict.fromkeys(networks, partial(torch.optim.Adam, lr=0.1, weight_decay=0.1))
    system = GAN(networks, NonSaturating(), latent_dim=6, optimizers=optimizers, frozen_blocks=2)
    discriminator = networks["discriminator"]
    before = {name: parameter.clone() for name, parameter in discriminator.named_parameters()}
    optimizer = system.players["discriminator"].build_optimizer()
    real: CriticOutput = discriminator(torch.randn(4, 1, 16, 16))
    real.logits.sum().backward()
    optimizer.step()
    names = frozen(discriminator)
    assert len(names) == 5
    for name, parameter in discriminator.named_parameters():
        assert torch.equal(parameter, before[name]) == (name in names), name


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError) as caught:
        freeze_blocks(MLPDiscriminator((2,), (8, 8)), 3)
    expected = "frozen_blocks: MLPDiscriminator has 2 blocks, and 3 are to be frozen; set it to 2 or less"
    assert str(caught.value) == expected
    with pytest.raises(UserError) as caught:
        freeze_blocks(nn.Linear(2, 1), 1)
    assert str(caught.value) == "frozen_blocks: Linear has no sequence of blocks; set it to 0"
