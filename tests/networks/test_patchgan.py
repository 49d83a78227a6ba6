"""PatchGAN: exact receptive fields, published numbers of parameters, and conditions."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize

from saddlepoint.errors import UserError
from saddlepoint.networks import PatchDiscriminator


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("field", "halvings"), [(1, 0), (16, 1), (34, 2), (70, 3), (142, 4), (286, 5)])
def test_receptive_field_is_exact(field: int, halvings: int) -> None:
    """With positive weights, the gradient of an output is positive on its receptive field and zero elsewhere."""
    side = {286: 512, 142: 256}.get(field, 128)
    critic = PatchDiscriminator((1, side, side), receptive_field=field, width=1, norm="none").double()
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.fill_(0.1)
    x = torch.ones(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    logits = critic(x).logits
    stride, middle = 2**halvings, logits.shape[2] // 2
    # The padding of 1 in each layer is 1, 2, … px of the image in strided layers, and 2ⁿ px in the last two.
    padding = (stride - 1) + 2 * stride if halvings else 0
    for row, column in ((middle, middle), (middle, middle - 1)):
        (gradient,) = torch.autograd.grad(logits[0, 0, row, column], x, retain_graph=True)
        expected = torch.zeros(side, side, dtype=torch.bool)
        top, left = row * stride - padding, column * stride - padding
        assert min(top, left) >= 0
        assert max(top, left) + field <= side
        expected[top : top + field, left : left + field] = True
        assert torch.equal(gradient[0, 0] > 0, expected)


def test_receptive_fields_follow_from_kernels_and_strides() -> None:
    for field in (16, 34, 70, 142, 286):
        critic = PatchDiscriminator((1, 512, 512), receptive_field=field, width=1)
        seen = 1
        for layer in [m for m in critic.modules() if isinstance(m, nn.Conv2d)][::-1]:
            seen = (seen - 1) * layer.stride[0] + layer.kernel_size[0]
        assert seen == field


def test_parameters_of_the_published_network() -> None:
    # C64-C128-C256-C512 and the logits: 4×4 kernels, no biases before norms, which have gains and biases.
    for inputs, expected in ((6, 2_768_705), (1, 2_763_585)):
        layers = (16 * inputs * 64 + 64) + 16 * 64 * 128 + 16 * 128 * 256 + 16 * 256 * 512 + (16 * 512 + 1)
        assert layers + 2 * (128 + 256 + 512) == expected
        assert count(PatchDiscriminator((inputs, 256, 256))) == expected
    # The authors' PyTorch code prints 2.765 M for pairs of grayscale images, and 0.662 M with two halvings
    # (github.com/junyanz/pytorch-CycleGAN-and-pix2pix, issue 1152).
    assert f"{count(PatchDiscriminator((1, 256, 256), 1)) / 1e6:.3f}" == "2.765"
    assert f"{count(PatchDiscriminator((1, 64, 64), 1, receptive_field=34)) / 1e6:.3f}" == "0.662"
    # 1×1: 64 channels, 128 channels with a norm, the logits.
    pixel = (2 * 64 + 64) + 64 * 128 + 2 * 128 + 129
    assert count(PatchDiscriminator((1, 8, 8), 1, receptive_field=1)) == pixel


@pytest.mark.parametrize(
    ("shape", "field", "size"),
    [
        ((3, 256, 256), 70, (30, 30)),
        ((1, 28, 28), 70, (1, 1)),
        ((1, 28, 28), 34, (5, 5)),
        ((1, 32, 32), 16, (14, 14)),
        ((2, 64, 48), 142, (2, 1)),
        ((1, 96, 100), 286, (1, 1)),
        ((3, 7, 9), 1, (7, 9)),
        ((3, 7, 9), 16, (1, 2)),
    ],
    ids=str,
)
@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_maps_and_features(shape: tuple[int, int, int], field: int, size: tuple[int, int], norm: str) -> None:
    torch.manual_seed(0)
    critic = PatchDiscriminator(shape, receptive_field=field, width=2, norm=norm)
    assert critic.shape == shape
    x = torch.randn(2, *shape)
    output = critic(x)
    assert output.logits.shape == (2, 1, *size)
    torch.testing.assert_close(output.features, critic.trunk(x).mean((2, 3)))
    assert output.class_logits is None


def test_condition_and_image_are_concatenated_in_this_order() -> None:
    torch.manual_seed(0)
    critic = PatchDiscriminator((3, 16, 16), condition_channels=2, receptive_field=1, width=4, norm="none")
    images, condition = torch.randn(2, 3, 16, 16), torch.randn(2, 2, 16, 16)
    first, _, second, _, _ = critic.trunk
    hidden = F.leaky_relu(F.conv2d(torch.cat([condition, images], 1), first.weight, first.bias), 0.2)
    hidden = F.leaky_relu(F.conv2d(hidden, second.weight, second.bias), 0.2)
    output = critic(images, condition)
    torch.testing.assert_close(output.logits, F.conv2d(hidden, critic.logits.weight, critic.logits.bias))
    # The last layer is 1×1, so the mean logit is the logit of the mean features.
    linear = output.features @ critic.logits.weight[0, :, 0, 0] + critic.logits.bias
    torch.testing.assert_close(output.logits.mean((1, 2, 3)), linear)
    with pytest.raises(UserError, match="got no condition"):
        critic(images)
    alone = PatchDiscriminator((3, 16, 16), receptive_field=16, width=2, norm="none")
    assert torch.equal(alone(images, condition).logits, alone(images).logits)


def test_layers_with_norms_and_with_spectral_norm() -> None:
    for norm, kind in (("batch", nn.BatchNorm2d), ("instance", nn.InstanceNorm2d)):
        critic = PatchDiscriminator((1, 64, 64), width=2, norm=norm)
        assert [isinstance(layer, kind) for layer in critic.trunk].count(True) == 3
        assert not isinstance(critic.trunk[1], kind)
    critic = PatchDiscriminator((1, 64, 64), width=2, spectral_norm=True)
    convolutions = [module for module in critic.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == 5
    assert all(parametrize.is_parametrized(module, "weight") for module in convolutions)
    assert critic(torch.randn(2, 1, 64, 64)).logits.shape == (2, 1, 6, 6)


def test_sizes_with_an_empty_map_are_rejected() -> None:
    with pytest.raises(UserError, match=r"70 px has an empty map .* 20x32 px; choose from 1, 16, 34$"):
        PatchDiscriminator((1, 20, 32))
    with pytest.raises(UserError, match=r"16 px has an empty map .* 5x5 px; choose from 1$"):
        PatchDiscriminator((1, 5, 5), receptive_field=16)
    with pytest.raises(UserError, match="got points of dimension 2"):
        PatchDiscriminator((2,))
