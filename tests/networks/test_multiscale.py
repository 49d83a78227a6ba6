"""Multi-scale discriminators against their parts."""

import pytest
import torch
import torch.nn.functional as F

from saddlepoint.errors import UserError
from saddlepoint.losses import LeastSquares
from saddlepoint.networks import MultiScaleDiscriminator
from saddlepoint.networks.multiscale import halved


def test_each_scale_is_a_patch_discriminator_of_a_reduced_image() -> None:
    torch.manual_seed(0)
    critic = MultiScaleDiscriminator((3, 64, 48), 3, 2, receptive_field=16, width=4)
    x, condition = torch.randn(2, 3, 64, 48), torch.randn(2, 2, 64, 48)
    output = critic(x, condition)
    assert output.logits.shape == (2, 3, 30, 22)
    for scale, one in enumerate(critic.critics):
        expected = one(x, condition)
        spread = F.interpolate(expected.logits, (30, 22), mode="nearest")
        torch.testing.assert_close(output.logits[:, scale], spread[:, 0])
        torch.testing.assert_close(output.features[:, 4 * scale * 2 : 4 * (scale + 1) * 2], expected.features)
        x, condition = halved(x), halved(condition)


def test_a_loss_is_the_mean_over_scales() -> None:
    """With maps whose sides divide each other, every logit of a scale has the same weight."""
    torch.manual_seed(0)
    critic = MultiScaleDiscriminator((1, 20, 20), 2, receptive_field=1, width=4)
    real, fake = torch.randn(3, 1, 20, 20), torch.randn(3, 1, 20, 20)
    loss = LeastSquares()
    parts = [
        loss.discriminator(critic.critics[0](real), critic.critics[0](fake)),
        loss.discriminator(critic.critics[1](halved(real)), critic.critics[1](halved(fake))),
    ]
    torch.testing.assert_close(loss.discriminator(critic(real), critic(fake)), sum(parts) / 2)


@pytest.mark.parametrize("size", [(8, 8), (7, 10)])
def test_images_are_halved_by_means(size: tuple[int, int]) -> None:
    x = torch.randn(1, 1, *size, dtype=torch.float64)
    small = halved(x)
    for i in range(small.shape[2]):
        for j in range(small.shape[3]):
            block = x[0, 0, max(2 * i - 1, 0) : 2 * i + 2, max(2 * j - 1, 0) : 2 * j + 2]
            torch.testing.assert_close(small[0, 0, i, j], block.mean())


def test_an_empty_map_is_refused() -> None:
    with pytest.raises(UserError) as refused:
        MultiScaleDiscriminator((1, 32, 32), 3, receptive_field=34)
    assert refused.value.key == "receptive_field"
