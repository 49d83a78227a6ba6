"""BigGAN: published numbers of parameters, tables of channels, conditional norms, and the interpolation of classes."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from saddlepoint.errors import UserError
from saddlepoint.networks import (
    BigGANDeepDiscriminator,
    BigGANDeepGenerator,
    BigGANDiscriminator,
    BigGANGenerator,
    ResNetGenerator,
)
from saddlepoint.networks.layers.attention import SelfAttention
from saddlepoint.networks.layers.vector_norms import VectorBatchNorm

K, Z, N = 3, 12, 4
SHAPE = (3, 32, 32)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_published_numbers_of_parameters() -> None:
    """Brock et al. 2019 give 70.4 M and 88.0 M at 128 px, which ajbrock/BigGAN-PyTorch prints to the last digit."""
    options = {"num_classes": 1000, "spectral_norm": False, "init": "default"}
    with torch.device("meta"):
        generator = BigGANGenerator((3, 128, 128), 120, 96, "batchnorm", **options)
        discriminator = BigGANDiscriminator((3, 128, 128), 96, "projection", **options)
    assert (count(generator), count(discriminator)) == (70_433_988, 87_982_370)
    channels = [stage[0].conv2.out_channels // 96 for stage in generator.stages]
    assert channels == [16, 8, 4, 2, 1]
    assert [block.conv2.out_channels // 96 for block in discriminator.blocks if hasattr(block, "conv2")] == [
        1, 2, 4, 8, 16, 16,
    ]  # fmt: skip
    for network, of in ((generator, 192), (discriminator, 96)):  # at 64 px
        (attention,) = (m for m in network.modules() if isinstance(m, SelfAttention))
        assert attention.key.in_channels == of


def test_parameters_of_the_deep_networks() -> None:
    """Each block has convolutions of a, a/4, a/4, a/4, b channels and, in G, four norms of z and the embedding."""
    with torch.device("meta"):
        generator = BigGANDeepGenerator(SHAPE, 8, 16, "batchnorm", 10, 8, spectral_norm=False, init="default")
        discriminator = BigGANDeepDiscriminator((3, 64, 64), 4, "none", spectral_norm=False, init="default")

    def convolutions(a: int, b: int, hidden: int) -> int:
        return (a + 1) * hidden + 2 * (9 * hidden + 1) * hidden + (hidden + 1) * b

    block = convolutions(64, 64, 16) + 2 * 16 * (64 + 3 * 16)
    expected = 10 * 8 + (16 + 1) * 64 * 16 + 6 * block + 2 * 64 + (9 * 64 + 1) * 3
    assert count(generator) == expected
    channels = [4, 8, 16, 32, 64]
    blocks = sum(
        convolutions(a, b, b // 4) + convolutions(b, b, b // 4) + (a + 1) * (b - a) for a, b in pairwise(channels)
    )
    assert count(discriminator) == (27 + 1) * 4 + blocks + 65


def test_deep_networks_at_128_px() -> None:
    options = {"num_classes": 1000, "spectral_norm": False, "init": "default"}
    with torch.device("meta"):
        generator = BigGANDeepGenerator((3, 128, 128), 128, 128, "batchnorm", **options)
        discriminator = BigGANDeepDiscriminator((3, 128, 128), 128, "projection", **options)
    assert (count(generator), count(discriminator)) == (50_244_484, 34_590_210)


def test_latents_are_split_over_the_blocks() -> None:
    """Part k of the latents has no effect before block k."""
    torch.manual_seed(0)
    generator = BigGANGenerator(SHAPE, Z, 2, "batchnorm", K, embedding_dim=5).eval()
    assert generator.parts == [3, 3, 3, 3]
    reached: list[torch.Tensor] = []
    for stage in generator.stages:
        stage.register_forward_hook(lambda *made: reached.append(made[2]))
    z, labels = torch.randn(N, Z), torch.tensor([0, 1, 2, 0])
    for part in range(4):
        moved = z.clone()
        moved[:, 3 * part : 3 * part + 3] += 1
        with torch.no_grad():
            generator(z, labels), generator(moved, labels)
        before, after = reached[:3], reached[3:]
        equal = [torch.equal(one, two) for one, two in zip(before, after, strict=True)]
        assert equal == [index < part - 1 for index in range(3)]
        reached.clear()


def test_norms_are_linear_functions_of_the_embedding_and_the_latents() -> None:
    torch.manual_seed(0)
    norm = VectorBatchNorm(6, 4).double().eval()
    norm.norm.running_mean.normal_()
    norm.norm.running_var.uniform_(0.5, 2)
    x, c = torch.randn(2, 6, 3, 3, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    for n in range(2):
        gain, bias = 1 + norm.gain.weight @ c[n], norm.bias.weight @ c[n]
        for channel in range(6):
            scaled = (x[n, channel] - norm.norm.running_mean[channel]) / (norm.norm.running_var[channel] + 1e-5).sqrt()
            torch.testing.assert_close(norm(x, c)[n, channel], gain[channel] * scaled + bias[channel])
    nn.init.zeros_(norm.gain.weight)
    nn.init.zeros_(norm.bias.weight)
    torch.testing.assert_close(norm(x, c), norm.norm(x))


def test_with_tables_of_the_classes_it_is_the_network_of_projgan() -> None:
    """Without shared embedding, hierarchical latents and spectral normalization, it has the weights of the ResNet."""
    options = {"shared_embedding": False, "hierarchical": False, "spectral_norm": False}
    ours = BigGANGenerator(SHAPE, Z, 2, "batchnorm", K, **options).eval()
    theirs = ResNetGenerator(SHAPE, Z, 2, "batch", "batchnorm", K).eval()
    assert count(ours) + 2 * K * 8 - 2 * 8 == count(theirs)  # the last norm of BigGAN is not conditional
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(0, 0.3)
    theirs.norm.gain.data.fill_(1)
    theirs.norm.bias.data.fill_(0)
    ours.project.load_state_dict(theirs.project.state_dict())
    ours.output.load_state_dict(theirs.output.state_dict())
    for stage, block in zip(ours.stages, theirs.blocks, strict=True):
        stage[0].load_state_dict(block.state_dict())
    z, labels = torch.randn(N, Z), torch.tensor([0, 1, 2, 1])
    torch.testing.assert_close(ours(z, labels), theirs(z, labels))


@pytest.mark.parametrize("generator", [BigGANGenerator, BigGANDeepGenerator])
def test_embeddings_replace_labels(generator: type[nn.Module]) -> None:
    torch.manual_seed(0)
    network = generator(SHAPE, Z, 2, "batchnorm", K).eval()
    z, labels = torch.randn(N, Z), torch.tensor([0, 1, 2, 0])
    torch.testing.assert_close(network(z, network.embed(labels)), network(z, labels), rtol=0, atol=0)
    ends = network.embed(torch.tensor([0, 1]))
    middle = network(z, ends.mean(0).expand(N, -1))
    assert not torch.allclose(middle, network(z, torch.zeros(N, dtype=torch.long)))


@pytest.mark.parametrize("spectral_norm", [True, False])
def test_the_embedding_has_no_spectral_norm(spectral_norm: bool) -> None:
    generator = BigGANGenerator(SHAPE, Z, 2, "batchnorm", K, spectral_norm=spectral_norm)
    discriminator = BigGANDiscriminator(SHAPE, 2, "projection", K, spectral_norm=spectral_norm)
    assert not parametrize.is_parametrized(generator.embedding)
    assert parametrize.is_parametrized(generator.stages[0][0].norm1.gain) == spectral_norm
    assert parametrize.is_parametrized(discriminator.labels.embedding) == spectral_norm


def test_orthogonal_initialization() -> None:
    generator = BigGANGenerator(SHAPE, Z, 2, "batchnorm", K, spectral_norm=False)
    weight = generator.stages[0][0].conv1.weight.flatten(1)
    torch.testing.assert_close(weight @ weight.T, torch.eye(8), atol=1e-5, rtol=0)
    normal = BigGANGenerator(SHAPE, Z, 8, "batchnorm", K, spectral_norm=False, init="normal")
    assert float(normal.stages[0][0].conv1.weight.detach().std()) == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 48, 48), (3, 64, 128), (1, 128, 128)], ids=str)
@pytest.mark.parametrize("deep", [False, True])
def test_sizes(shape: tuple[int, int, int], deep: bool) -> None:
    made = (BigGANDeepGenerator, BigGANDeepDiscriminator) if deep else (BigGANGenerator, BigGANDiscriminator)
    generator = made[0](shape, 120, 1, "none", init="default")
    output = made[1](shape, 4 if deep else 1, "none", init="default")(generator(torch.randn(2, 120)))
    assert output.logits.shape == (2,)


def test_mistakes_are_refused() -> None:
    cases = [
        (lambda: BigGANGenerator(SHAPE, 10, 2, "none"), "latent_dim", "set it to 8"),
        (lambda: BigGANGenerator(SHAPE, 12, 2, "adain", K), "conditioning", "choose batchnorm or none"),
        (lambda: BigGANGenerator(SHAPE, 12, 2, "batchnorm", 0), "conditioning", "needs labels"),
        (lambda: BigGANGenerator(SHAPE, 12, 2, "batchnorm", K, False), "hierarchical", "set it to false"),
        (lambda: BigGANDiscriminator(SHAPE, 2, "none", attention=[64]), "attention", "choose from 8, 16"),
    ]
    for build, key, message in cases:
        with pytest.raises(UserError) as refused:
            build()
        assert refused.value.key == key
        assert message in str(refused.value)
