"""The U-Net against published numbers of parameters and a reference computation, and its dropout."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.networks import UNetGenerator
from saddlepoint.networks.layers.dropout import NoiseDropout


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def noisy(network: UNetGenerator) -> list[bool]:
    return [any(isinstance(layer, NoiseDropout) for layer in block) for block in network.decoder]


def test_parameters_of_the_published_network() -> None:
    # The authors' PyTorch code prints 54.408 M at 256 px and 29.238 M with six halvings at 64 px, for grayscale images
    # (github.com/junyanz/pytorch-CycleGAN-and-pix2pix, issue 1152). It has no biases in the first and the innermost
    # layers of the encoder, which have 64 and 512 here, as in the authors' first code.
    with torch.device("meta"):
        assert f"{(count(UNetGenerator((1, 256, 256), 1)) - 64 - 512) / 1e6:.3f}" == "54.408"
        assert f"{(count(UNetGenerator((1, 64, 64), 1)) - 64 - 512) / 1e6:.3f}" == "29.238"
        network = UNetGenerator((3, 256, 256), 2)
    encoder = [64, 128, 256, 512, 512, 512, 512, 512]
    decoder = [512, 512, 512, 512, 256, 128, 64]
    convolutions = [module for module in network.encoder.modules() if isinstance(module, nn.Conv2d)]
    transposed = [module for module in network.modules() if isinstance(module, nn.ConvTranspose2d)]
    assert [(m.in_channels, m.out_channels) for m in convolutions] == list(zip([2, *encoder], encoder, strict=False))
    assert [m.out_channels for m in transposed] == [*decoder, 3]
    assert [m.in_channels for m in transposed] == [512, *(2 * channels for channels in decoder)]
    assert noisy(network) == [True] * 3 + [False] * 4
    assert [isinstance(block[-1], nn.BatchNorm2d) for block in list(network.encoder)[1:]] == [True] * 6 + [False]


@pytest.mark.parametrize(
    ("shape", "inputs", "halvings"),
    [
        ((1, 8, 8), 3, 3),
        ((1, 28, 28), 1, 2),
        ((3, 32, 32), 1, 5),
        ((2, 64, 64), 4, 6),
        ((3, 64, 32), 3, 5),
        ((3, 48, 80), 2, 4),
        ((1, 12, 20), 1, 2),
        ((3, 128, 128), 3, 7),
    ],
    ids=str,
)
@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_supported_sizes(shape: tuple[int, int, int], inputs: int, halvings: int, norm: str) -> None:
    torch.manual_seed(0)
    network = UNetGenerator(shape, inputs, width=2, norm=norm)
    assert (network.shape, network.input_channels, len(network.encoder)) == (shape, inputs, halvings)
    assert len(network.decoder) == halvings - 1
    outputs = network(torch.randn(1, inputs, *shape[1:]))  # the paper uses batches of one image
    assert outputs.shape == (1, *shape)
    assert outputs.abs().max() <= 1


def by_hand(network: UNetGenerator, x: Tensor) -> Tensor:
    """Return the output for four halvings, with encoder layers a, b, c and d."""

    def norm(h: Tensor) -> Tensor:
        return (h - h.mean((0, 2, 3), keepdim=True)) / (h.var((0, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()

    down = [layer.weight for layer in network.encoder.modules() if isinstance(layer, nn.Conv2d)]
    up = [layer.weight for layer in network.modules() if isinstance(layer, nn.ConvTranspose2d)]
    a = F.conv2d(x, down[0], stride=2, padding=1)
    b = norm(F.conv2d(F.leaky_relu(a, 0.2), down[1], stride=2, padding=1))
    c = norm(F.conv2d(F.leaky_relu(b, 0.2), down[2], stride=2, padding=1))
    d = F.conv2d(F.leaky_relu(c, 0.2), down[3], stride=2, padding=1)
    h = norm(F.conv_transpose2d(F.relu(d), up[0], stride=2, padding=1))
    h = norm(F.conv_transpose2d(F.relu(torch.cat([h, c], 1)), up[1], stride=2, padding=1))
    h = norm(F.conv_transpose2d(F.relu(torch.cat([h, b], 1)), up[2], stride=2, padding=1))
    return torch.tanh(F.conv_transpose2d(F.relu(torch.cat([h, a], 1)), up[3], stride=2, padding=1))


def redrawn(network: UNetGenerator) -> UNetGenerator:
    """Return the network with larger random weights, gains of 1 and biases of 0."""
    for parameter in network.parameters():
        if parameter.dim() == 4:
            nn.init.normal_(parameter, std=0.3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    return network


def test_forward_by_hand() -> None:
    torch.manual_seed(0)
    network, x = redrawn(UNetGenerator((3, 16, 32), 2, width=2, noise="none")), torch.randn(3, 2, 16, 32)
    torch.testing.assert_close(network(x), by_hand(network, x), rtol=1e-4, atol=1e-5)


def test_the_last_layer_takes_the_first_skip_connection() -> None:
    torch.manual_seed(0)
    network, x = redrawn(UNetGenerator((3, 16, 16), 2, width=2, noise="none")), torch.randn(3, 2, 16, 16)
    last = network.output[1]
    with torch.no_grad():
        last.weight[:2] = 0  # the first half of its input channels are from the decoder, the second from the encoder
    first = F.relu(network.encoder[0](x))
    expected = torch.tanh(F.conv_transpose2d(first, last.weight[2:], last.bias, stride=2, padding=1))
    torch.testing.assert_close(network(x), expected)
    with torch.no_grad():
        last.weight[2:] = 0  # blocks the skip connection as well
    assert network(x).count_nonzero() == 0


@pytest.mark.parametrize("level", range(3))
def test_skip_connections_are_between_layers_of_the_same_size(level: int) -> None:
    """If a decoder layer uses only its skip connection, exactly the layers further inside have no effect."""
    torch.manual_seed(0)
    network, x = redrawn(UNetGenerator((1, 16, 16), 1, width=2, noise="none")), torch.randn(2, 1, 16, 16)
    outward = [network.output, *reversed(network.decoder)]
    joining = outward[level][1]
    with torch.no_grad():
        joining.weight[: joining.in_channels // 2] = 0
    network(x).square().sum().backward()
    for index, layer in enumerate(network.encoder):
        (weight,) = [parameter for parameter in layer.parameters() if parameter.dim() == 4]
        assert (weight.grad.count_nonzero() > 0) == (index <= level), index


def test_dropout_is_active_in_evaluation_mode() -> None:
    torch.manual_seed(0)
    network, x = redrawn(UNetGenerator((1, 32, 32), 1, width=2)).eval(), torch.randn(2, 1, 32, 32)
    assert noisy(network) == [True, True, True, False]
    assert noisy(UNetGenerator((1, 28, 28), 1, width=2)) == [True]
    with torch.no_grad():
        torch.manual_seed(1)
        first, second = network(x), network(x)
        torch.manual_seed(1)
        again = network(x)
    assert torch.equal(first, again)
    assert (first - second).abs().mean() > 1e-3
    plain = UNetGenerator((1, 32, 32), 1, width=2, noise="none").eval()
    assert noisy(plain) == [False] * 4
    assert torch.equal(plain(x), plain(x))


def test_unsupported_sizes_are_rejected() -> None:
    with pytest.raises(UserError, match=r"network 'unet'.*multiples of 4, got 30x45; set it to \[32,44\]"):
        UNetGenerator((1, 30, 45), 1)
    with pytest.raises(UserError, match="got points of dimension 2"):
        UNetGenerator((2,), 1)
