"""InfoGAN's networks against the paper's table for MNIST and reference computations."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from saddlepoint.errors import UserError
from saddlepoint.networks import InfoGANDiscriminator, InfoGANGenerator, RecognitionHead


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_of_the_mnist_networks() -> None:
    # Layers followed by a norm have no biases; norms have gains and biases.
    generator = 74 * 1024 + 2 * 1024 + 1024 * 6272 + 2 * 6272 + 128 * 64 * 16 + 2 * 64 + (64 * 16 + 1)
    trunk = (16 * 64 + 64) + 64 * 128 * 16 + 2 * 128 + 6272 * 1024 + 2 * 1024
    recognition = 1024 * 128 + 2 * 128 + 129 * (10 + 2 * 2)
    networks = InfoGANGenerator((1, 28, 28), 74), InfoGANDiscriminator((1, 28, 28)), RecognitionHead(1024)
    assert [count(network) for network in networks] == [generator, trunk + 1025, recognition]
    # The published code has 6.6 and 6.7 million, including those biases.
    assert round((generator + 1024 + 6272 + 64) / 1e6, 2) == 6.65
    assert round((trunk + 1025 + recognition + 128 + 1024 + 128) / 1e6, 1) == 6.7


def test_layers_of_the_papers_table_at_28_px() -> None:
    generator, discriminator = InfoGANGenerator((1, 28, 28), 74), InfoGANDiscriminator((1, 28, 28))
    deconvolutions = [m for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    convolutions = [m for m in discriminator.modules() if isinstance(m, nn.Conv2d)]
    assert [(m.in_channels, m.out_channels) for m in deconvolutions] == [(128, 64), (64, 1)]
    assert [(m.in_channels, m.out_channels) for m in convolutions] == [(1, 64), (64, 128)]
    assert all(m.kernel_size == (4, 4) and m.stride == (2, 2) for m in deconvolutions + convolutions)
    norms = [m.num_features for m in generator.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert norms == [1024, 7 * 7 * 128, 64]
    slopes = [m.negative_slope for m in discriminator.modules() if isinstance(m, nn.LeakyReLU)]
    assert slopes == [0.1] * 3


SIZES = [(1, 28, 28), (3, 32, 32), (1, 8, 8), (2, 14, 10), (3, 64, 32), (1, 128, 128)]


@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_supported_sizes(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    generator = InfoGANGenerator(shape, 9, width=2, units=12)
    discriminator = InfoGANDiscriminator(shape, width=2, units=12)
    recognition = RecognitionHead(12, [3, 2], 4, hidden=5)
    assert (generator.shape, generator.latent_dim, discriminator.shape) == (shape, 9, shape)
    images = generator(torch.randn(3, 9))
    assert images.shape == (3, *shape)
    assert images.abs().max() <= 1
    output = discriminator(images)
    assert (output.logits.shape, output.features.shape) == ((3,), (3, 12))
    weight, bias = discriminator.logits.weight[0], discriminator.logits.bias
    torch.testing.assert_close(output.logits, output.features @ weight + bias)
    codes = recognition(output.features)
    assert [logits.shape for logits in codes.categorical] == [(3, 3), (3, 2)]
    assert codes.mean.shape == codes.log_variance.shape == (3, 4)


def test_recognition_by_hand() -> None:
    torch.manual_seed(0)
    head, features = RecognitionHead(6, [3, 2], 2, hidden=5), torch.randn(8, 6)
    linear, norm, _ = head.trunk
    nn.init.normal_(head.codes.bias)
    a = features @ linear.weight.T
    a = (a - a.mean(0)) / (a.var(0, correction=0) + norm.eps).sqrt() * norm.weight + norm.bias
    expected = torch.where(a > 0, a, 0.1 * a) @ head.codes.weight.T + head.codes.bias
    (first, second), mean, log_variance = head(features)
    torch.testing.assert_close(torch.cat([first, second, mean, log_variance], 1), expected)
    assert [part.shape[1] for part in (first, second, mean, log_variance)] == [3, 2, 2, 2]


def test_images_are_the_published_codes_sigmoid_scaled_to_minus_1_to_1() -> None:
    torch.manual_seed(0)
    generator, latents = InfoGANGenerator((1, 8, 8), 9, width=2, units=12), torch.randn(4, 9)
    nn.init.normal_(generator.output.weight)
    probabilities = torch.sigmoid(generator.output(generator.trunk(latents)))
    torch.testing.assert_close(generator(latents), 2 * probabilities - 1)


def test_trunk_by_hand_at_8_px() -> None:
    torch.manual_seed(0)
    discriminator, x = InfoGANDiscriminator((1, 8, 8), width=2, units=3), torch.randn(5, 1, 8, 8)
    convolution, _, _, linear, norm, _ = discriminator.trunk
    hidden = F.leaky_relu(F.conv2d(x, convolution.weight, convolution.bias, stride=2, padding=1), 0.1)
    a = hidden.flatten(1) @ linear.weight.T
    a = (a - a.mean(0)) / (a.var(0, correction=0) + norm.eps).sqrt() * norm.weight + norm.bias
    torch.testing.assert_close(discriminator(x).features, F.leaky_relu(a, 0.1))


def test_codes_of_one_kind() -> None:
    features = torch.randn(4, 6)
    assert RecognitionHead(6, [], 3)(features).categorical == ()
    assert RecognitionHead(6, [5], 0)(features).mean.shape == (4, 0)
    with pytest.raises(UserError, match=r"^categories: needs at least one code"):
        RecognitionHead(6, [], 0)
    with pytest.raises(UserError, match=r"network 'infogan'.*30x30; set it to 32"):
        InfoGANGenerator((1, 30, 30), 74)
