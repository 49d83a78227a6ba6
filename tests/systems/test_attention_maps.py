"""Pictures of attention, against the layer's weights."""

import torch

from saddlepoint.losses import Hinge
from saddlepoint.networks import DCGANDiscriminator, DCGANGenerator
from saddlepoint.networks.layers.attention import SelfAttention
from saddlepoint.systems import GAN
from saddlepoint.systems.attention_maps import MARK, QUERIES, picture


def gan(attention: list[int]) -> GAN:
    torch.manual_seed(0)
    networks = {
        "generator": DCGANGenerator((1, 16, 16), 4, 8, attention=attention),
        "discriminator": DCGANDiscriminator((1, 16, 16), 8, "none"),
    }
    adam = dict.fromkeys(networks, lambda parameters: torch.optim.Adam(parameters))
    return GAN(networks, loss=Hinge(), latent_dim=4, optimizers=adam)


def test_maps_are_rows_of_the_weights() -> None:
    layer = SelfAttention(8)
    torch.nn.init.normal_(layer.query.weight, 0, 3)
    x = torch.randn(3, 8, 8, 4)
    weights = layer.weights(x)
    shown = picture(torch.zeros(3, 1, 16, 8), weights, (8, 4))
    assert shown.columns == 3
    assert shown.samples.shape == (3 * (1 + len(QUERIES)), 3, 16, 8)
    for row, (down, right) in enumerate(QUERIES, start=1):
        i, j = int(8 * down), int(4 * right)
        for n in range(3):
            image = shown.samples[3 * row + n]
            torch.testing.assert_close(image[:, 2 * i, 2 * j], torch.tensor(MARK))
            beta = weights[n, 4 * i + j]
            for a in range(8):
                for b in range(4):
                    if (a, b) != (i, j):
                        value = beta[2 * (a // 2) + b // 2] / beta.max()
                        torch.testing.assert_close(image[:, 2 * a + 1, 2 * b], (2 * value - 1).expand(3))


def test_a_fourth_channel_is_not_shown() -> None:
    weights = SelfAttention(8).weights(torch.randn(1, 8, 2, 2))
    images = torch.rand(1, 4, 4, 4)
    torch.testing.assert_close(picture(images, weights, (2, 2)).samples[0], images[0, :3])


def test_a_system_shows_the_attention_of_its_generator() -> None:
    torch.manual_seed(0)
    shown = gan([8]).pictures(4, 0, None)
    assert set(shown) == {"samples", "attention"}
    torch.testing.assert_close(shown["attention"].samples[:4, 0], shown["samples"].samples[:, 0])
    assert set(gan([]).pictures(4, 0, None)) == {"samples"}
