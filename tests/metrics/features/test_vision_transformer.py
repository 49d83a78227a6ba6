"""The vision transformer against PyTorch's encoder, and resized positions against cubic convolution by loops."""

import math

import pytest
import torch
from torch import nn

from saddlepoint.metrics.features.vision_transformer import VisionTransformer


def random_network(dim: int = 128, depth: int = 2, patch: int = 4, grid: int = 3) -> VisionTransformer:
    torch.manual_seed(0)
    network = VisionTransformer(dim, depth, 3 * dim, patch, grid).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    return network


@torch.no_grad()
def test_it_equals_pytorchs_encoder() -> None:
    """LayerScale multiplies the output of a linear layer, so it can be multiplied into the layer's weights."""
    network = random_network()
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(128, 2, 384, 0.0, "gelu", 1e-6, batch_first=True, norm_first=True),
        2,
        network.norm,
        False,
    ).eval()
    for own, theirs in zip(network.blocks, encoder.layers, strict=True):
        weights = own.state_dict()
        for name, gamma in (("attn.proj", weights["ls1.gamma"]), ("mlp.fc2", weights["ls2.gamma"])):
            weights[f"{name}.weight"], weights[f"{name}.bias"] = (
                gamma[:, None] * weights[f"{name}.weight"],
                gamma * weights[f"{name}.bias"],
            )
        names = {
            "norm1": "norm1", "norm2": "norm2", "linear1": "mlp.fc1", "linear2": "mlp.fc2",
            "self_attn.in_proj_": "attn.qkv", "self_attn.out_proj": "attn.proj",
        }  # fmt: skip
        theirs.load_state_dict(
            {
                (f"{name}{kind}" if name.endswith("_") else f"{name}.{kind}"): weights[f"{other}.{kind}"]
                for name, other in names.items()
                for kind in ("weight", "bias")
            }
        )
    images = torch.randn(3, 3, 12, 12)
    patches = nn.functional.unfold(images, 4, stride=4).transpose(1, 2)
    projection = network.patch_embed["proj"]
    tokens = patches @ projection.weight.flatten(1).T + projection.bias
    tokens = torch.cat([network.cls_token.expand(3, -1, -1), tokens], 1) + network.pos_embed
    torch.testing.assert_close(network(images), encoder(tokens)[:, 0], rtol=1e-4, atol=1e-4)


def cubic(t: float) -> float:
    """Return the kernel of cubic convolution with a = -0.75."""
    a, t = -0.75, abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


@torch.no_grad()
@pytest.mark.parametrize("count", [2, 5])
def test_positions_are_resized_by_cubic_convolution(count: int) -> None:
    network = random_network(grid=4)
    stored = network.pos_embed[0, 1:].unflatten(0, (4, 4)).double()
    matrix = torch.zeros(count, 4, dtype=torch.float64)
    for i in range(count):
        place = (i + 0.5) * 4 / (count + 0.1) - 0.5
        first = math.floor(place)
        for j in range(first - 1, first + 3):
            matrix[i, min(max(j, 0), 3)] += cubic(place - j)
    expected = torch.einsum("ia,jb,abf->ijf", matrix, matrix, stored).flatten(0, 1)
    found = network.positions(count, count)[0]
    torch.testing.assert_close(found[1:].double(), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(found[0], network.pos_embed[0, 0])
    assert network.positions(4, 4) is network.pos_embed


def test_the_size_is_that_of_the_weights() -> None:
    network = random_network()
    weights = {**network.state_dict(), "mask_token": torch.zeros(1, 128)}
    again = VisionTransformer.of({name: tensor.half() for name, tensor in weights.items()})
    assert {name: tensor.shape for name, tensor in again.state_dict().items()} == {
        name: tensor.shape for name, tensor in network.state_dict().items()
    }
    assert again.norm.weight.dtype == torch.float32
    with pytest.raises(KeyError):
        VisionTransformer.of({"weight": torch.zeros(1)})


def test_the_large_network_has_the_published_size() -> None:
    """300 M parameters by the authors' page; with F = 1024, 12 F² + 15 F in each of 24 blocks."""
    with torch.device("meta"):
        network = VisionTransformer(1024, 24, 4096, 14, 37)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == 24 * (12 * 1024**2 + 15 * 1024) + 1024 * (1 + 1 + 37**2 + 3 * 14**2 + 1 + 2)
    assert round(count / 1e7) == 30
