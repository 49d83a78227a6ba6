"""Self-attention against its equations, written as loops."""

import pytest
import torch
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.networks import DCGANDiscriminator, DCGANGenerator, ResNetDiscriminator, ResNetGenerator
from saddlepoint.networks.layers.attention import SelfAttention, choose_sides, quarter, recorded_weights

N, C, H, W = 2, 16, 6, 4


def layer(gain: float = 0.7) -> SelfAttention:
    torch.manual_seed(0)
    made = SelfAttention(C).double()
    nn.init.constant_(made.gain, gain)
    return made


def features() -> Tensor:
    return torch.randn(N, C, H, W, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def pooled(x: Tensor) -> list[Tensor]:
    """The maxima over blocks of 2×2 positions, in row-major order."""
    return [x[:, i : i + 2, j : j + 2].amax((1, 2)) for i in range(0, H, 2) for j in range(0, W, 2)]


def test_equals_the_equations_position_by_position() -> None:
    attention, x = layer(), features()
    query, key, value, output = (
        getattr(attention, name).weight[:, :, 0, 0] for name in ("query", "key", "value", "output")
    )
    y = attention(x)
    for n in range(N):
        maps = [torch.einsum("oc,chw->ohw", weight, x[n]) for weight in (key, value)]
        keys, values = (pooled(one) for one in maps)
        for row in range(H):
            for column in range(W):
                scores = torch.stack([(query @ x[n, :, row, column]) @ one for one in keys])
                beta = scores.exp() / scores.exp().sum()
                o = output @ sum(share * one for share, one in zip(beta, values, strict=True))
                torch.testing.assert_close(y[n, :, row, column], x[n, :, row, column] + 0.7 * o)


def test_is_the_identity_at_first_and_learns_its_gain_first() -> None:
    torch.manual_seed(0)
    attention, x = SelfAttention(C), features().float()
    y = attention(x)
    assert torch.equal(y, x)
    y.square().sum().backward()
    assert float(attention.gain.grad) != 0
    for part in (attention.key, attention.query, attention.value, attention.output):
        assert float(part.weight.grad.abs().max()) == 0


def test_weights_are_distributions_over_pooled_positions() -> None:
    weights = layer().weights(features())
    assert weights.shape == (N, H * W, H * W // 4)
    torch.testing.assert_close(weights.sum(2), torch.ones(N, H * W, dtype=weights.dtype))


def test_equal_scores_attend_to_everything_equally() -> None:
    attention, x = layer(), features()
    nn.init.zeros_(attention.query.weight)
    mean = torch.stack([torch.stack(pooled(one)).mean(0) for one in attention.value(x)])
    expected = x + 0.7 * attention.output(mean[:, :, None, None])
    torch.testing.assert_close(attention(x), expected)


def test_blocks_of_positions_can_be_exchanged() -> None:
    attention, x = layer(), features()
    moved = torch.cat([x[:, :, 2:4], x[:, :, :2], x[:, :, 4:]], 2)
    y = attention(x)
    torch.testing.assert_close(attention(moved), torch.cat([y[:, :, 2:4], y[:, :, :2], y[:, :, 4:]], 2))


def test_number_of_parameters() -> None:
    assert sum(p.numel() for p in SelfAttention(64).parameters()) == int(64**2 * (1 / 8 + 1 / 8 + 1 / 2 + 1 / 2)) + 1


@pytest.mark.parametrize("channels", [1, 4, 7])
def test_few_channels_and_odd_sizes(channels: int) -> None:
    x = torch.randn(1, channels, 5, 3)
    attention = SelfAttention(channels)
    nn.init.ones_(attention.gain)
    assert attention(x).shape == x.shape
    assert attention.weights(x).shape == (1, 15, 2)


def sizes(network: nn.Module, *inputs: Tensor) -> list[tuple[int, int]]:
    with torch.no_grad(), recorded_weights(network) as found:
        network(*inputs)
    return [size for _, size in found]


@pytest.mark.parametrize(
    ("generator", "discriminator"),
    [(ResNetGenerator, ResNetDiscriminator), (DCGANGenerator, DCGANDiscriminator)],
    ids=["resnet", "dcgan"],
)
def test_networks_attend_at_the_chosen_sizes(generator: type[nn.Module], discriminator: type[nn.Module]) -> None:
    z, x = torch.randn(2, 5), torch.randn(2, 3, 32, 32)
    assert sizes(generator((3, 32, 32), 5, 8, attention=[8, 16]), z) == [(8, 8), (16, 16)]
    assert sizes(discriminator((3, 32, 32), 8, "none", attention=[8, 16]), x) == [(16, 16), (8, 8)]
    assert sizes(generator((3, 32, 32), 5, 8, attention="auto"), z) == [(8, 8)]
    assert sizes(generator((3, 32, 32), 5, 8), z) == []
    # Attention is the identity at first, so the network equals one without it.
    torch.manual_seed(0)
    plain = generator((3, 32, 32), 5, 8)
    with_attention = generator((3, 32, 32), 5, 8, attention=[16])
    own = [p for name, p in with_attention.named_parameters() if not _of_attention(with_attention, name)]
    with torch.no_grad():
        for ours, theirs in zip(own, plain.parameters(), strict=True):
            ours.copy_(theirs)
    torch.testing.assert_close(with_attention(z), plain(z))


def _of_attention(network: nn.Module, parameter: str) -> bool:
    return isinstance(network.get_submodule(parameter.rpartition(".")[0]), SelfAttention) or any(
        parameter.startswith(f"{name}.") for name, m in network.named_modules() if isinstance(m, SelfAttention)
    )


def test_sagan_of_the_paper_attends_at_32_of_128_px() -> None:
    with torch.device("meta"):
        generator = ResNetGenerator((3, 128, 128), 128, 64, attention="auto")
        discriminator = ResNetDiscriminator((3, 128, 128), 64, attention="auto")
    (g,), (d,) = ([m for m in n.modules() if isinstance(m, SelfAttention)] for n in (generator, discriminator))
    assert (g.key.in_channels, d.key.in_channels) == (256, 128)
    assert list(generator.blocks).index(g) == 3  # after the block that returns 32×32 px
    assert list(discriminator.blocks).index(d) == 2


def test_a_size_that_a_network_does_not_have_is_refused() -> None:
    with pytest.raises(UserError) as refused:
        ResNetGenerator((3, 32, 32), 5, 8, attention=[12])
    assert refused.value.key == "attention"
    assert "choose from 8, 16, 32" in str(refused.value)


def test_the_automatic_size_is_nearest_to_a_quarter() -> None:
    assert quarter((1, 28, 28), [7, 14, 28]) == [7]
    assert quarter((1, 8, 8), [8, 8]) == []
    assert choose_sides("auto", [8, 16], [64]) == []
    assert choose_sides([16], [8, 16], [8]) == [16]
