"""CycleGAN's generator against published numbers of parameters and a reference computation."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.networks import TranslationGenerator
from saddlepoint.networks.translation import ResidualBlock


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def blocks(network: nn.Module) -> int:
    return sum(isinstance(module, ResidualBlock) for module in network.modules())


def test_parameters_of_the_published_network() -> None:
    # The authors' PyTorch code printed 11,388,675 with nine blocks while its instance norm had gains and biases
    # (github.com/junyanz/pytorch-CycleGAN-and-pix2pix, issue 45). It has biases before
    # norms, which have no effect and are omitted here: one per channel of every layer but the output.
    biases = 64 + 128 + 256 + 9 * 2 * 256 + 128 + 64
    with torch.device("meta"):
        assert count(TranslationGenerator((3, 256, 256), 3)) == 11_388_675 - biases
        six = TranslationGenerator((3, 128, 128), 3)
    block = 2 * (256 * 256 * 9 + 2 * 256)
    assert count(six) == 11_388_675 - biases - 3 * block


def test_blocks_by_size() -> None:
    for sides, expected in (((8, 8), 6), ((128, 128), 6), ((132, 64), 9), ((64, 256), 9)):
        assert blocks(TranslationGenerator((1, *sides), 1, width=1)) == expected
    assert blocks(TranslationGenerator((1, 8, 8), 1, width=1, blocks=2)) == 2


@pytest.mark.parametrize(
    ("shape", "inputs"),
    [((1, 8, 8), 3), ((1, 28, 28), 1), ((3, 32, 32), 1), ((3, 64, 64), 3), ((2, 48, 20), 4)],
    ids=str,
)
def test_supported_sizes(shape: tuple[int, int, int], inputs: int) -> None:
    torch.manual_seed(0)
    network = TranslationGenerator(shape, inputs, width=2)
    assert (network.shape, network.input_channels) == (shape, inputs)
    outputs = network(torch.randn(2, inputs, *shape[1:]))
    assert outputs.shape == (2, *shape)
    assert outputs.abs().max() <= 1


def norm(h: Tensor) -> Tensor:
    """Return instance-normalized feature maps; gains are 1 and biases 0."""
    return (h - h.mean((2, 3), keepdim=True)) / (h.var((2, 3), correction=0, keepdim=True) + 1e-5).sqrt()


def reflected(h: Tensor, weight: Tensor, padding: int) -> Tensor:
    return F.conv2d(F.pad(h, [padding] * 4, mode="reflect"), weight)


def test_forward_by_hand() -> None:
    torch.manual_seed(0)
    network, x = TranslationGenerator((3, 8, 12), 2, width=2, blocks=1).double(), torch.randn(3, 2, 8, 12).double()
    for module in network.modules():
        if isinstance(module, nn.InstanceNorm2d):
            nn.init.ones_(module.weight)
    first, down1, down2, inner1, inner2, up1, up2, last = [
        module.weight for module in network.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    ]
    h = F.relu(norm(reflected(x, first, 3)))
    h = F.relu(norm(F.conv2d(h, down1, stride=2, padding=1)))
    h = F.relu(norm(F.conv2d(h, down2, stride=2, padding=1)))
    h = h + norm(reflected(F.relu(norm(reflected(h, inner1, 1))), inner2, 1))
    h = F.relu(norm(F.conv_transpose2d(h, up1, stride=2, padding=1, output_padding=1)))
    h = F.relu(norm(F.conv_transpose2d(h, up2, stride=2, padding=1, output_padding=1)))
    assert network.output.bias is not None
    expected = torch.tanh(reflected(h, last, 3))
    torch.testing.assert_close(network(x), expected)


def test_initial_weights_are_normal_of_0_02() -> None:
    torch.manual_seed(0)
    network = TranslationGenerator((3, 32, 32), 3, width=16)
    weights = torch.cat([p.detach().flatten() for p in network.parameters() if p.dim() == 4])
    gains = torch.cat([m.weight.detach() for m in network.modules() if isinstance(m, nn.InstanceNorm2d)])
    torch.testing.assert_close([weights.std(), gains.std()], [torch.tensor(0.02)] * 2, rtol=0.1, atol=0)
    torch.testing.assert_close(
        [weights.mean(), gains.mean()], [torch.tensor(0.0), torch.tensor(1.0)], rtol=0, atol=2e-3
    )


def test_unsupported_sizes_are_rejected() -> None:
    with pytest.raises(UserError, match=r"network 'translation'.*multiples of 4, got 30x30; set it to 32"):
        TranslationGenerator((1, 30, 30), 1)
    with pytest.raises(UserError, match=r"at least 8 px.*got 4x4; set it to 8"):
        TranslationGenerator((1, 4, 4), 1)
