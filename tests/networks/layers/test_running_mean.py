"""Running means, and what leaves them unchanged."""

import torch

from saddlepoint.networks.layers.running_mean import RunningMean
from saddlepoint.networks.layers.statistics import frozen_statistics


def test_the_mean_moves_only_in_training_mode() -> None:
    layer, x = RunningMean(3, decay=0.9), torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    assert layer(x) is x
    torch.testing.assert_close(layer.mean, torch.full((3,), 0.2))
    with frozen_statistics(layer):
        layer(x)
    layer.eval()
    layer(x)
    torch.testing.assert_close(layer.mean, torch.full((3,), 0.2))
    layer.train()
    layer(x)
    torch.testing.assert_close(layer.mean, torch.full((3,), 0.38))
