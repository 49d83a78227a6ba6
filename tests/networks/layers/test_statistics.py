"""Frozen statistics: buffers are not changed, and outputs are those of training mode."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from saddlepoint.networks.layers.spectral_norm import apply_spectral_norm
from saddlepoint.networks.layers.statistics import frozen_statistics, uses_batch_statistics


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5), nn.BatchNorm1d(5)
    built = apply_spectral_norm(nn.Sequential(*layers))
    built(torch.randn(8, 3, 8, 8))
    return built


@pytest.mark.parametrize("training", [True, False])
def test_buffers_are_unchanged_and_outputs_are_the_same(training: bool) -> None:
    net, x = network().train(training), torch.randn(8, 3, 8, 8)
    before = copy.deepcopy(net.state_dict())
    with frozen_statistics(net):
        frozen = net(x)
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())
    assert torch.equal(net(x), frozen)
    changed = [name for name, value in before.items() if not torch.equal(value, net.state_dict()[name])]
    assert len(changed) == (8 if training else 0)  # two means, two variances, two counts, two u


def test_batch_norm_still_normalizes_by_the_batch() -> None:
    norm = nn.BatchNorm1d(3)
    x = torch.randn(50, 3) * 4 + 7
    with frozen_statistics(norm):
        y = norm(x).detach().numpy()
    expected = (x - x.mean(0)) / (x.var(0, unbiased=False) + norm.eps).sqrt()
    np.testing.assert_allclose(y, expected, atol=1e-5)
    assert norm.num_batches_tracked == 0


def test_contexts_can_be_nested() -> None:
    net, x = network(), torch.randn(8, 3, 8, 8)
    before = copy.deepcopy(net.state_dict())
    with frozen_statistics(net):
        with frozen_statistics(net):
            pass
        net(x)
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())


def test_restores_after_an_error() -> None:
    net = network()
    with pytest.raises(RuntimeError), frozen_statistics(net):
        net(torch.randn(8, 99))
    net(torch.randn(8, 3, 8, 8))
    assert net[1].num_batches_tracked == 2


def test_uses_batch_statistics() -> None:
    assert uses_batch_statistics(network())
    assert not uses_batch_statistics(nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(1, 4), nn.InstanceNorm2d(4)))
