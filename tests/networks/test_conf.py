"""All config files of networks, norms, losses and regularizers can be composed and instantiated."""

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf
from pydantic import TypeAdapter
from torch import nn

from saddlepoint.config.check import signature_of
from saddlepoint.config.directory import config_directory, options
from saddlepoint.losses import AdversarialLoss
from saddlepoint.networks.layers.statistics import compares_samples
from saddlepoint.regularizers import Regularizer

CONF = config_directory()


SHARED = ("+conditioning=none", "+minibatch=none", "+data.num_classes=0")
"""Other values that network files refer to."""

OTHERS = {
    "vae": ["+model.likelihood=gaussian"],
    **{name: ["network.hidden=4", "network.layers=1"] for name in ("pixelcnn", "row_lstm", "diagonal_bilstm")},
    "infogan": ["+model.categories=[3]", "+model.continuous=1", "network.units=8"],
    "bigan": ["+model.prior=uniform", "network.units=8"],
    "aae": ["+model.labels=semi", "++data.num_classes=3", "network.units=8"],
    "vaegan": ["network.width=4"],
    "lapgan": ["network.width=4", "network.units=8"],
    "gran": ["network.width=4"],
    "gran_dcgan": ["network.width=4", "network.discriminator.width=4"],
    "patchgan": ["network.width=4"],
    "multiscale_patchgan": ["network.width=4"],
    "r3gan": ["network.width=8"],
    "progan": ["network.width=4"],
    "stylegan2": ["network.width=4", "network.style_dim=8"],
    "transgan": ["network.generator.width=64", "network.discriminator.width=16"],
    "vitgan": ["network.width=12"],
    "gansformer": ["network.width=4", "network.generator.latents=2"],
    "vitgan_dcgan": ["network.width=12", "network.discriminator.width=4"],
    "vitgan_stylegan2": ["network.width=12", "network.discriminator.width=4"],
    "unet_patchgan": ["+data.columns.inputs=[2,32,32]"],
    "cyclegan": ["+data.columns.a=[2,32,32]", "+data.columns.b=[1,32,32]"],
}
"""Files of networks with other roles, and the values that they refer to."""


def composed(*overrides: str) -> dict:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose(overrides=list(overrides)), resolve=True)


@pytest.mark.parametrize("norm", ["batch", "layer", "none", "spectral"])
@pytest.mark.parametrize("network", [name for name in options("network") if name not in OTHERS])
def test_networks_are_built_from_their_files(network: str, norm: str) -> None:
    width = [] if network == "mlp_maxout" else ["network.width=4"]
    shared = (f"+norm={norm}", "+data.shape=[1,8,8]", "+model.latent_dim=6", *SHARED)
    node = composed(f"+network={network}", *shared, *width)["network"]
    generator, discriminator = instantiate(node["generator"]), instantiate(node["discriminator"])
    output = discriminator(generator(torch.randn(2, 6)))
    assert output.logits.shape == (2,)
    has_vectors = any(name.endswith(".u") for name, _ in discriminator.named_buffers())
    assert has_vectors == (norm == "spectral")


def test_networks_of_other_roles_are_built_from_their_files() -> None:
    def build(name: str, *more: str) -> dict[str, nn.Module]:
        shared = ("+data.shape=[1,32,32]", "+model.latent_dim=6", *SHARED)
        node = composed(f"+network={name}", *shared, *OTHERS[name], *more)["network"]
        return {role: instantiate(part) for role, part in node.items() if isinstance(part, dict)}

    z, x, wide = torch.randn(2, 6), torch.randn(2, 1, 32, 32), torch.randn(2, 2, 32, 32)
    vae = build("vae")
    assert vae["decoder"](vae["encoder"](x).mean).log_variance.shape == x.shape
    infogan = build("infogan", "network.width=4")
    codes = infogan["recognition"](infogan["discriminator"](infogan["generator"](z)).features)
    assert (codes.categorical[0].shape, codes.mean.shape) == ((2, 3), (2, 1))
    bigan = build("bigan")
    assert bigan["discriminator"]((bigan["generator"](z), bigan["encoder"](x))).logits.shape == (2,)
    for name in ("pixelcnn", "row_lstm", "diagonal_bilstm"):
        assert build(name)["decoder"](x).shape == (2, 256, 1, 32, 32)
    gated = build("pixelcnn", "network.gated=true", "network.likelihood=bernoulli")
    assert gated["decoder"](x).shape == (2, 1, 1, 32, 32)
    aae = build("aae")
    code = aae["encoder"](x)
    assert aae["decoder"](torch.cat(code, 1)).shape == x.shape
    assert aae["discriminator"](code.style).logits.shape == (2,)
    assert aae["category_discriminator"](code.class_logits).logits.shape == (2,)
    vaegan = build("vaegan")
    assert vaegan["discriminator"](vaegan["decoder"](vaegan["encoder"](x).mean)).logits.shape == (2,)
    lapgan = build("lapgan")
    images = lapgan["generator"](torch.randn(2, 100 + 16**2 + 32**2))
    assert images.shape == x.shape
    assert lapgan["discriminator"].levels[0](images).logits.shape == (2,)
    for name, *more in (["gran"], ["gran_dcgan", "+norm=none"]):
        gran = build(name, *more)
        assert gran["discriminator"](gran["generator"](z)).logits.shape == (2,)
    for name, scales in (("patchgan", 1), ("multiscale_patchgan", 2)):
        patches = build(name, "+norm=batch")
        assert patches["discriminator"](patches["generator"](z)).logits.shape == (2, scales, 14, 14)
    r3gan = build("r3gan")
    assert r3gan["discriminator"](r3gan["generator"](z)).logits.shape == (2,)
    for name in ("progan", "stylegan2"):
        grown = build(name)
        assert grown["discriminator"](grown["generator"](z)).logits.shape == (2,)
    for name, *more in (["transgan"], ["vitgan"], ["gansformer"], ["vitgan_stylegan2"], ["vitgan_dcgan", "+norm=none"]):
        networks = build(name, *more)
        assert networks["discriminator"](networks["generator"](z)).logits.shape == (2,)
    pix2pix = build("unet_patchgan", "network.width=4")
    assert pix2pix["discriminator"](pix2pix["generator"](wide), wide).logits.shape == (2, 1, 2, 2)
    cyclegan = build("cyclegan", "network.width=4")
    translated, back = cyclegan["generator_ab"](wide), cyclegan["generator_ba"](x)
    assert (translated.shape, back.shape) == (x.shape, wide.shape)
    assert cyclegan["discriminator_a"](back).logits.shape == (2, 1, 2, 2)
    assert cyclegan["discriminator_b"](translated).logits.shape == (2, 1, 2, 2)
    assert set(cyclegan) == {"generator_ab", "generator_ba", "discriminator_a", "discriminator_b"}


def test_every_file_is_tested() -> None:
    ours = [
        "autoencoder",
        "began",
        "biggan",
        "biggan_deep",
        "dcgan",
        "mlp",
        "mlp_maxout",
        "resnet",
        "resnet_wgan_gp",
        "sagan",
    ]
    assert options("network") == sorted([*ours, *OTHERS])
    assert options("norm") == ["batch", "layer", "none", "spectral", "spectral_both"]
    conditionings = ("adain", "auxiliary", "batchnorm", "concat", "concat_projection", "none", "projection")
    assert options("conditioning") == [*conditionings]
    assert options("minibatch") == ["discrimination", "none", "packing", "stddev"]


@pytest.mark.parametrize("conditioning", options("conditioning"))
@pytest.mark.parametrize("network", ["dcgan", "resnet", "mlp"])
def test_conditioning_affects_every_network(network: str, conditioning: str) -> None:
    if (network, conditioning) == ("mlp", "adain"):
        pytest.skip("adain is refused by the perceptron, which has no pixels")
    torch.manual_seed(0)
    shared = ("+norm=spectral", "+data.shape=[1,8,8]", "+model.latent_dim=6", "+data.num_classes=3")
    node = composed(
        f"+network={network}", f"+conditioning={conditioning}", "+minibatch=none", "network.width=4", *shared
    )
    generator, discriminator = (instantiate(node["network"][role]) for role in ("generator", "discriminator"))
    latents, labels = torch.randn(4, 6), torch.tensor([0, 1, 2, 0])
    discriminator.eval()  # the estimates of spectral normalization change in training mode
    for parameter in generator.parameters():  # gains and biases are initially the same for all classes
        torch.nn.init.normal_(parameter)
    images, others = generator(latents, labels), generator(latents, labels.flip(0).roll(1))
    logits, other_logits = discriminator(images, labels).logits, discriminator(images, labels.roll(1)).logits
    assert generator.num_classes == (0 if conditioning == "none" else 3)
    assert torch.allclose(images, others) == (conditioning == "none")
    assert torch.allclose(logits, other_logits, atol=1e-7) == (conditioning in ("none", "auxiliary"))
    assert (discriminator(images, labels).class_logits is not None) == (conditioning == "auxiliary")


@pytest.mark.parametrize("minibatch", options("minibatch"))
def test_minibatch_layers_are_built_in_every_network(minibatch: str) -> None:
    shared = ("+norm=none", "+data.shape=[1,8,8]", "+model.latent_dim=6", "+data.num_classes=0", "+conditioning=none")
    for network in ("dcgan", "resnet", "mlp"):
        node = composed(f"+network={network}", f"+minibatch={minibatch}", "network.width=4", *shared)
        critic = instantiate(node["network"]["discriminator"])
        assert len(critic(torch.randn(4, 1, 8, 8)).logits) == (2 if minibatch == "packing" else 4)
        assert compares_samples(critic) == (minibatch != "none")


def parts(node: object) -> list[dict]:
    """Return all nodes with a target, at any depth."""
    if not isinstance(node, dict):
        return []
    return [node] * ("_target_" in node) + [part for child in node.values() for part in parts(child)]


@pytest.mark.parametrize(
    "choice", [(g, n) for g in ("network", "loss", "regularizer", "augment") for n in options(g)], ids=str
)
def test_every_argument_is_in_its_file_with_a_valid_value(choice: tuple[str, str]) -> None:
    group, name = choice
    override = f"+{group}=[{name}]" if group in ("regularizer", "augment") else f"+{group}={name}"
    shared = ("+norm=batch", "+data.shape=[3,32,32]", "+model.latent_dim=8", *SHARED)
    for part in parts(composed(override, *shared, *(OTHERS.get(name, []) if group == "network" else []))):
        target = get_class(part.pop("_target_"))
        parameters = signature_of(target)
        assert set(part) | {"network"} == parameters.keys() | {"network"}  # network defaults to the player
        for key, value in part.items():
            if isinstance(value, dict) and "_target_" in value:
                continue  # nested parts are checked separately
            TypeAdapter(parameters[key].annotation).validate_python(value, strict=True)


@pytest.mark.parametrize("name", [name for name in options("loss") if name != "none"])
def test_losses_are_built_from_their_files(name: str) -> None:
    assert isinstance(instantiate(composed(f"+loss={name}")["loss"]), AdversarialLoss)
    assert composed("+loss=none")["loss"] is None


def test_regularizers_combine() -> None:
    node = composed("+regularizer=[gradient_penalty,weight_clipping]")["regularizer"]
    assert sorted(node) == ["gradient_penalty", "weight_clipping"]
    assert all(isinstance(instantiate(part), Regularizer) for part in node.values())
