"""Weight clipping changes the parameters of its network and nothing else."""

import numpy as np
import pytest
import torch
from torch import nn

from saddlepoint.errors import UserError
from saddlepoint.regularizers import WeightClipping


def test_parameters_are_clipped_in_place_and_buffers_are_not() -> None:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
    critic(torch.randn(16, 4))  # updates the running statistics
    generator = nn.Linear(3, 4)
    before = [parameter.detach().numpy().copy() for parameter in critic.parameters()]
    buffers = {name: buffer.clone() for name, buffer in critic.named_buffers()}
    other = generator.weight.detach().clone()
    objects = list(critic.parameters())

    WeightClipping(clip=0.05).project({"discriminator": critic, "generator": generator})

    for old, new in zip(before, critic.parameters(), strict=True):
        np.testing.assert_array_equal(new.detach().numpy(), np.clip(old, np.float32(-0.05), np.float32(0.05)))
        assert new.requires_grad
    assert all(a is b for a, b in zip(objects, critic.parameters(), strict=True))
    assert all(torch.equal(buffers[name], buffer) for name, buffer in critic.named_buffers())
    assert torch.equal(generator.weight, other)
    assert critic[1].running_var.max() > 0.05


def test_frozen_parameters_are_not_clipped() -> None:
    critic = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    for parameter in critic.parameters():
        nn.init.constant_(parameter, 0.5)
    critic[0].requires_grad_(False)
    WeightClipping(clip=0.05).project({"discriminator": critic})
    assert all(torch.equal(p, torch.full_like(p, 0.5)) for p in critic[0].parameters())
    assert all(torch.equal(p, torch.full_like(p, 0.05)) for p in critic[1].parameters())


def test_an_unknown_network_is_rejected() -> None:
    networks = {"generator": nn.Linear(1, 1), "discriminator": nn.Linear(1, 1)}
    WeightClipping().check(networks)
    message = (
        "network: there is no network 'discriminater'; did you mean 'discriminator'? "
        "The choices are generator, discriminator"
    )
    for part in (WeightClipping(network="discriminater"), WeightClipping(player="discriminater")):
        with pytest.raises(UserError) as raised:
            part.check(networks)
        assert str(raised.value) == message
    WeightClipping(player="anybody", network="generator").check(networks)  # players are checked by the game
