"""Common properties of the networks of systems that are no GAN from latents, and of token- and style-based ones."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saddlepoint import networks
from saddlepoint.networks import (
    AAEDecoder,
    AAEEncoder,
    BiGANEncoder,
    BiGANGenerator,
    CategoryDiscriminator,
    CodeDiscriminator,
    DiagonalBiLSTMDecoder,
    GRANDiscriminator,
    GRANGenerator,
    InfoGANDiscriminator,
    InfoGANGenerator,
    LAPGANGenerator,
    PairDiscriminator,
    PatchDiscriminator,
    PixelCNNDecoder,
    RecognitionHead,
    RowLSTMDecoder,
    StyleGAN2Discriminator,
    StyleGAN2Generator,
    TransGANDiscriminator,
    TransGANGenerator,
    TranslationGenerator,
    UNetGenerator,
    VAEDecoder,
    VAEEncoder,
    VAEGANDecoder,
    VAEGANDiscriminator,
    VAEGANEncoder,
    ViTGANDiscriminator,
    ViTGANGenerator,
)

N, Z, SHAPE = 8, 5, (3, 32, 16)
Case = tuple[Callable[[], nn.Module], Callable[[], tuple[Any, ...]]]


def images(channels: int = 3) -> Tensor:
    return torch.rand(N, channels, *SHAPE[1:]) * 2 - 1


def latents() -> tuple[Tensor]:
    return (torch.randn(N, Z),)


def in_range(generator: StyleGAN2Generator) -> StyleGAN2Generator:
    """Reduce the initial images to [-1, 1], since errors are compared with the largest value of clamped images."""
    for layer in generator.to_rgb:
        layer.convolution.weight.data.mul_(0.1)  # type: ignore[union-attr, operator]
    return generator


CASES: dict[str, Case] = {
    "vae_encoder": (lambda: VAEEncoder(SHAPE, Z, [16]), lambda: (images(),)),
    "vae_decoder": (lambda: VAEDecoder(SHAPE, Z, [16]), latents),
    "vae_decoder_gaussian": (lambda: VAEDecoder(SHAPE, Z, [16], likelihood="gaussian"), latents),
    "infogan_generator": (lambda: InfoGANGenerator(SHAPE, Z, 4, 16), latents),
    "infogan_discriminator": (lambda: InfoGANDiscriminator(SHAPE, 4, 16), lambda: (images(),)),
    "recognition": (lambda: RecognitionHead(Z, [3], 2, 16), latents),
    "bigan_generator": (lambda: BiGANGenerator(SHAPE, Z, 16), latents),
    "bigan_encoder": (lambda: BiGANEncoder(SHAPE, Z, 16), lambda: (images(),)),
    "bigan_encoder_normal": (lambda: BiGANEncoder(SHAPE, Z, 16, "normal"), lambda: (images(),)),
    "pair_discriminator": (lambda: PairDiscriminator(SHAPE, Z, 16), lambda: ((images(), *latents()),)),
    "aae_encoder": (lambda: AAEEncoder(SHAPE, Z, 16), lambda: (images(),)),
    "aae_encoder_semi": (lambda: AAEEncoder(SHAPE, Z, 16, "semi", 3), lambda: (images(),)),
    "aae_decoder": (lambda: AAEDecoder(SHAPE, Z - 3, 16, "semi", 3), latents),
    "code_discriminator": (lambda: CodeDiscriminator(Z, 16), latents),
    "code_discriminator_labels": (
        lambda: CodeDiscriminator(Z, 16, "prior", 3),
        lambda: (*latents(), torch.arange(N) % 4),
    ),
    "category_discriminator": (lambda: CategoryDiscriminator(16, "semi", Z), latents),
    "vaegan_encoder": (lambda: VAEGANEncoder(SHAPE, Z, 4, 16), lambda: (images(),)),
    "vaegan_decoder": (lambda: VAEGANDecoder(SHAPE, Z, 4), latents),
    "vaegan_discriminator": (lambda: VAEGANDiscriminator(SHAPE, 4, 16), lambda: (images(),)),
    "lapgan_generator": (lambda: LAPGANGenerator(SHAPE, 2, Z, 4, 16), lambda: (torch.randn(N, Z + 512),)),
    "lapgan_labels": (
        lambda: LAPGANGenerator(SHAPE, 2, Z, 4, 16, "concat", 3),
        lambda: (torch.randn(N, Z + 512), torch.arange(N) % 3),
    ),
    "gran_generator": (lambda: GRANGenerator(SHAPE, Z, 3, 4, 8), latents),
    "gran_canvas": (lambda: GRANGenerator(SHAPE, Z, 5, 4, 8, "per_step", "canvas"), latents),
    "gran_discriminator": (lambda: GRANDiscriminator(SHAPE, 4, 8), lambda: (images(),)),
    "stylegan2_generator": (
        lambda: in_range(StyleGAN2Generator(SHAPE, Z, 8, 4, mapping_layers=2)),
        lambda: (*latents(), None, torch.randn(N, 1312)),
    ),
    "stylegan2_generator_labels": (
        lambda: in_range(StyleGAN2Generator(SHAPE, Z, 8, 4, 64, 2, "resnet", "concat", 3)),
        lambda: (*latents(), torch.arange(N) % 3, torch.randn(N, 1312)),
    ),
    "stylegan2_discriminator": (lambda: StyleGAN2Discriminator(SHAPE, 4), lambda: (images(),)),
    "stylegan2_discriminator_labels": (
        lambda: StyleGAN2Discriminator(SHAPE, 4, 64, 2, "skip", 2, "projection", 3),
        lambda: (images(), torch.arange(N) % 3),
    ),
    "transgan_generator": (lambda: TransGANGenerator(SHAPE, Z, 32, [1], 2), latents),
    "transgan_discriminator": (lambda: TransGANDiscriminator(SHAPE, 16, 1, 2), lambda: (images(),)),
    "vitgan_generator": (lambda: ViTGANGenerator(SHAPE, Z, 8, 1, 2, 2), latents),
    "vitgan_convolution": (lambda: ViTGANGenerator(SHAPE, Z, 8, 1, 2, 2, "convolution"), latents),
    "vitgan_discriminator": (lambda: ViTGANDiscriminator(SHAPE, 8, 1, 2), lambda: (images(),)),
    **{
        f"unet_{norm}": (lambda norm=norm: UNetGenerator(SHAPE, 2, 4, norm, "none"), lambda: (images(2),))
        for norm in ("batch", "instance", "none")
    },
    "unet_noise": (lambda: UNetGenerator(SHAPE, 2, 4), lambda: (images(2),)),
    **{
        f"patch_{norm}": (
            lambda norm=norm: PatchDiscriminator(SHAPE, 2, 34, 4, norm, spectral_norm=norm == "none"),
            lambda: (images(), images(2)),
        )
        for norm in ("batch", "instance", "none")
    },
    "pixelcnn": (lambda: PixelCNNDecoder(SHAPE, 6, 1, 6), lambda: (images(),)),
    "pixelcnn_gated": (lambda: PixelCNNDecoder(SHAPE, 6, 1, 6, gated=True), lambda: (images(),)),
    "row_lstm": (lambda: RowLSTMDecoder(SHAPE, 6, 1, 6), lambda: (images(),)),
    "diagonal_bilstm": (lambda: DiagonalBiLSTMDecoder(SHAPE, 6, 1, 6), lambda: (images(),)),
    "translation": (lambda: TranslationGenerator(SHAPE, 2, 4, 2), lambda: (images(2),)),
}


def tensors(output: Any) -> Iterator[Tensor]:
    """Yield all tensors of a nested output."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, tuple):
        for part in output:
            yield from tensors(part)


def made(case: str) -> tuple[nn.Module, tuple[Any, ...]]:
    torch.manual_seed(0)
    make, inputs = CASES[case]
    return make(), inputs()


def test_every_network_is_tested() -> None:
    endings = ("Encoder", "Decoder", "Head")
    tested = {type(made(case)[0]).__name__ for case in CASES}
    assert {name for name in networks.__all__ if name.endswith(endings)} <= tested
    assert tested <= set(networks.__all__)


@pytest.mark.parametrize("case", CASES)
def test_every_parameter_has_a_gradient(case: str) -> None:
    network, inputs = made(case)
    weighted = [(torch.randn_like(part) * part).sum() for part in tensors(network(*inputs))]
    torch.stack(weighted).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        if parameter.dim() > 1:  # biases before a norm can have zero gradients
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("case", CASES)
def test_bf16(case: str) -> None:
    network, inputs = made(case)
    network.eval()  # in training mode, BatchNorm would amplify rounding errors of nearly constant units
    torch.manual_seed(1)
    full = list(tensors(network(*inputs)))
    torch.manual_seed(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(*inputs)
        half = list(tensors(output))
        network.train()
        trained = list(tensors(network(*inputs)))
    features = getattr(output, "features", None)
    for one, other in zip(full, half, strict=True):
        assert other.dtype == torch.float32 or other is features
        assert (one - other).abs().max() <= 0.05 * one.abs().max() + 1e-3
    assert all(part.isfinite().all() for part in trained)
    sum(part.float().sum() for part in trained).backward()  # type: ignore[union-attr]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("case", CASES)
def test_state_dict_round_trip(case: str) -> None:
    network, inputs = made(case)
    network(*inputs)  # updates running statistics
    other = CASES[case][0]()
    other.load_state_dict(network.state_dict())
    outputs = []
    for one in (network.eval(), other.eval()):
        torch.manual_seed(2)
        outputs.append(list(tensors(one(*inputs))))
    assert all(torch.equal(a, b) for a, b in zip(*outputs, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(network.buffers(), other.buffers(), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_same_seed_same_weights(case: str) -> None:
    first, second = made(case)[0].state_dict(), made(case)[0].state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
