"""Dropout in evaluation mode."""

import torch

from saddlepoint.networks.layers.dropout import NoiseDropout


def test_dropout_is_active_in_both_modes() -> None:
    torch.manual_seed(0)
    layer, x = NoiseDropout(0.25), torch.rand(100, 400) + 1
    for mode in (True, False):
        y = layer.train(mode)(x)
        kept = y != 0
        torch.testing.assert_close(y[kept], x[kept] / 0.75)
        assert abs(kept.float().mean() - 0.75) < 0.01  # 4.6 standard deviations of 40,000 draws
