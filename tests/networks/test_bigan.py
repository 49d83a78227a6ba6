"""BiGAN's networks against the formulas of the published code."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.networks import BiGANEncoder, BiGANGenerator, PairDiscriminator

SHAPE = (1, 2, 3)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def normalized(a: Tensor) -> Tensor:
    return (a - a.mean(0)) / (a.var(0, correction=0) + 1e-5).sqrt()


def redrawn(network: nn.Module) -> nn.Module:
    """Return the network with larger random weights, so that every path affects the output."""
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    return network


def test_parameters_of_the_mnist_networks() -> None:
    # There are no biases, and norms have no parameters. The second path of the latents has 50·1024 weights.
    generator = 50 * 1024 + 1024**2 + 50 * 1024 + 1024 * 784
    encoder = 784 * 1024 + 1024**2 + 1024 * 50
    discriminator = 784 * 1024 + 1024**2 + 50 * 1024 + 1024
    networks = [BiGANGenerator((1, 28, 28), 50), BiGANEncoder((1, 28, 28), 50), PairDiscriminator((1, 28, 28), 50)]
    assert [count(network) for network in networks] == [generator, encoder, discriminator]
    assert all(p.dim() == 2 for network in networks for p in network.parameters())
    assert [f"{n / 1e6:.1f}" for n in (generator, encoder, discriminator)] == ["2.0", "1.9", "1.9"]


def test_generator_by_hand() -> None:
    torch.manual_seed(0)
    generator, z = redrawn(BiGANGenerator(SHAPE, 4, units=5)), torch.randn(7, 4)
    first, second, again, last = generator.first[0], generator.second, generator.latents, generator.output
    hidden = F.relu(normalized(z @ first.weight.T))
    hidden = F.relu(normalized(hidden @ second.weight.T + z @ again.weight.T))
    expected = 2 * torch.sigmoid(hidden @ last.weight.T) - 1
    torch.testing.assert_close(generator(z), expected.view(7, *SHAPE))


def test_encoder_by_hand() -> None:
    torch.manual_seed(0)
    x = torch.rand(7, *SHAPE) * 2 - 1
    for prior in ("uniform", "normal"):
        encoder = redrawn(BiGANEncoder(SHAPE, 4, 5, prior))
        first, _, second, _, _ = encoder.trunk
        hidden = F.leaky_relu((x.flatten(1) + 1) / 2 @ first.weight.T, 0.2)
        codes = F.leaky_relu(normalized(hidden @ second.weight.T), 0.2) @ encoder.codes.weight.T
        torch.testing.assert_close(encoder(x), 2 * torch.sigmoid(codes) - 1 if prior == "uniform" else codes)
        assert (encoder(x).abs().max() <= 1) == (prior == "uniform")


def test_discriminator_by_hand() -> None:
    torch.manual_seed(0)
    critic, x, z = redrawn(PairDiscriminator(SHAPE, 4, units=5)), torch.rand(7, *SHAPE) * 2 - 1, torch.randn(7, 4)
    hidden = F.leaky_relu((x.flatten(1) + 1) / 2 @ critic.first[0].weight.T, 0.2)
    features = F.leaky_relu(normalized(hidden @ critic.second.weight.T + z @ critic.codes.weight.T), 0.2)
    output = critic((x, z))
    torch.testing.assert_close(output.features, features)
    torch.testing.assert_close(output.logits, features @ critic.logits.weight[0])
    assert output.class_logits is None


def test_latents_affect_both_networks_through_their_second_path() -> None:
    torch.manual_seed(0)
    generator, critic = redrawn(BiGANGenerator(SHAPE, 4, units=5)), redrawn(PairDiscriminator(SHAPE, 4, units=5))
    z = torch.randn(7, 4, requires_grad=True)
    nn.init.zeros_(generator.first[0].weight)  # blocks the first path
    (through_generator,) = torch.autograd.grad(generator(z).square().sum(), z)
    (through_critic,) = torch.autograd.grad(critic((torch.zeros(7, *SHAPE), z)).logits.square().sum(), z)
    for gradient in (through_generator, through_critic):
        assert (gradient.abs().amax(1) > 1e-4).all()
    nn.init.zeros_(generator.latents.weight)
    (closed,) = torch.autograd.grad(generator(z).square().sum(), z)
    assert closed.count_nonzero() == 0


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 20), (2, 5, 7)], ids=str)
def test_images_of_any_size(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    generator, encoder = redrawn(BiGANGenerator(shape, 4, units=6)), BiGANEncoder(shape, 4, units=6)
    critic = PairDiscriminator(shape, 4, units=6)
    assert generator.shape == encoder.shape == critic.shape == shape
    assert generator.latent_dim == encoder.latent_dim == critic.latent_dim == 4
    images = generator(torch.randn(3, 4))
    assert images.shape == (3, *shape)
    assert images.abs().max() <= 1
    assert encoder(images).shape == (3, 4)
    assert critic((images, encoder(images))).logits.shape == (3,)


def test_initial_weights_are_normal_of_0_02() -> None:
    torch.manual_seed(0)
    for network in (BiGANGenerator((1, 28, 28), 50, 256), PairDiscriminator((1, 28, 28), 50, 256)):
        for parameter in network.parameters():
            torch.testing.assert_close(parameter.detach().std().item(), 0.02, rtol=0.15, atol=0)


def test_points_are_rejected() -> None:
    with pytest.raises(UserError, match=r"network 'bigan' supports only images .* got points of dimension 2"):
        BiGANEncoder((2,), 4)
