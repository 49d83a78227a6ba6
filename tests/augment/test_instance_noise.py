"""Distribution and decay of instance noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from saddlepoint.augment import InstanceNoise
from saddlepoint.turns import Turn


def turn(n: int, player: str = "discriminator", share: float = 1.0) -> Turn:
    return Turn(
        loss=torch.zeros(()),
        networks={},
        random=torch.Generator(),
        real=torch.zeros(n, 2),
        players=(player,),
        share=share,
    )


@pytest.mark.parametrize("shape", [(2,), (3, 4, 5)])
def test_noise_is_normal_and_decays_linearly_with_images(shape: tuple[int, ...]) -> None:
    part, random = InstanceNoise(std=0.4, decay_images=100), torch.Generator().manual_seed(0)
    samples = torch.ones(200, *shape, dtype=torch.float64)
    for images, share, expected in ((0, 1.0, 0.4), (25, 1.0, 0.3), (15, 0.5, 0.18), (45, 1.0, 0.0), (10, 1.0, 0.0)):
        record = turn(images, share=share)
        part.observe(record)
        part.observe(turn(50, player="generator"))
        np.testing.assert_allclose(record.logs["instance_noise"].item(), expected, rtol=1e-6, atol=1e-9)
        noise = (part(samples, random) - samples).numpy().ravel()
        if expected > 0:
            assert stats.kstest(noise, stats.norm(0, expected).cdf).pvalue > 0.01
        else:
            assert not noise.any()
    resumed = InstanceNoise(std=0.4, decay_images=1000)
    resumed.load_state_dict(part.state_dict())
    np.testing.assert_allclose(resumed.std().item(), 0.4 * (1 - 110 / 1000), rtol=1e-6)
