"""Every network file composes with every norm file and builds; so do losses and regularizers."""

import inspect
from pathlib import Path
from typing import get_type_hints

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf
from pydantic import TypeAdapter

from saddlepoint.losses import AdversarialLoss
from saddlepoint.networks.layers.statistics import compares_samples
from saddlepoint.regularizers import Regularizer

CONF = Path(__file__).resolve().parents[2] / "conf"


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


SHARED = ("+conditioning=none", "+minibatch=none", "+data.num_classes=0")
"""What network files read beside norms, shapes and latents."""


def composed(*overrides: str) -> dict:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose(overrides=list(overrides)), resolve=True)


@pytest.mark.parametrize("norm", ["batch", "layer", "none", "spectral"])
@pytest.mark.parametrize("network", names("network"))
def test_networks_build_from_their_files(network: str, norm: str) -> None:
    width = [] if network == "mlp_maxout" else ["network.width=4"]
    shared = (f"+norm={norm}", "+data.shape=[1,8,8]", "+model.latent_dim=6", *SHARED)
    node = composed(f"+network={network}", *shared, *width)["network"]
    generator, discriminator = instantiate(node["generator"]), instantiate(node["discriminator"])
    output = discriminator(generator(torch.randn(2, 6)))
    assert output.logits.shape == (2,)
    has_vectors = any(name.endswith(".u") for name, _ in discriminator.named_buffers())
    assert has_vectors == (norm == "spectral")


def test_every_file_is_tested() -> None:
    assert names("network") == ["autoencoder", "began", "dcgan", "mlp", "mlp_maxout", "resnet", "resnet_wgan_gp"]
    assert names("norm") == ["batch", "layer", "none", "spectral"]
    assert names("conditioning") == ["adain", "auxiliary", "batchnorm", "concat", "none", "projection"]
    assert names("minibatch") == ["discrimination", "none", "packing", "stddev"]


@pytest.mark.parametrize("conditioning", names("conditioning"))
@pytest.mark.parametrize("network", ["dcgan", "resnet", "mlp"])
def test_every_conditioning_reaches_every_network(network: str, conditioning: str) -> None:
    if (network, conditioning) == ("mlp", "adain"):
        pytest.skip("adain is refused by the perceptron, which has no pixels")
    torch.manual_seed(0)
    shared = ("+norm=spectral", "+data.shape=[1,8,8]", "+model.latent_dim=6", "+data.num_classes=3")
    node = composed(
        f"+network={network}", f"+conditioning={conditioning}", "+minibatch=none", "network.width=4", *shared
    )
    generator, discriminator = (instantiate(node["network"][role]) for role in ("generator", "discriminator"))
    latents, labels = torch.randn(4, 6), torch.tensor([0, 1, 2, 0])
    discriminator.eval()  # each pass in training mode would move spectral norm's estimates
    for parameter in generator.parameters():  # gains and biases of classes start equal
        torch.nn.init.normal_(parameter)
    images, others = generator(latents, labels), generator(latents, labels.flip(0).roll(1))
    logits, other_logits = discriminator(images, labels).logits, discriminator(images, labels.roll(1)).logits
    assert generator.num_classes == (0 if conditioning == "none" else 3)
    assert torch.allclose(images, others) == (conditioning == "none")
    assert torch.allclose(logits, other_logits, atol=1e-7) == (conditioning in ("none", "auxiliary"))
    assert (discriminator(images, labels).class_logits is not None) == (conditioning == "auxiliary")


@pytest.mark.parametrize("minibatch", names("minibatch"))
def test_every_minibatch_file_reaches_every_network(minibatch: str) -> None:
    shared = ("+norm=none", "+data.shape=[1,8,8]", "+model.latent_dim=6", "+data.num_classes=0", "+conditioning=none")
    for network in ("dcgan", "resnet", "mlp"):
        node = composed(f"+network={network}", f"+minibatch={minibatch}", "network.width=4", *shared)
        critic = instantiate(node["network"]["discriminator"])
        assert len(critic(torch.randn(4, 1, 8, 8)).logits) == (2 if minibatch == "packing" else 4)
        assert compares_samples(critic) == (minibatch != "none")


def parts(node: object) -> list[dict]:
    """Every node with a target, however deep."""
    if not isinstance(node, dict):
        return []
    return [node] * ("_target_" in node) + [part for child in node.values() for part in parts(child)]


@pytest.mark.parametrize(
    "choice", [(g, n) for g in ("network", "loss", "regularizer", "augment") for n in names(g)], ids=str
)
def test_every_knob_stands_in_its_file_and_has_a_valid_value(choice: tuple[str, str]) -> None:
    group, name = choice
    override = f"+{group}=[{name}]" if group in ("regularizer", "augment") else f"+{group}={name}"
    for part in parts(composed(override, "+norm=batch", "+data.shape=[3,32,32]", "+model.latent_dim=8", *SHARED)):
        target = get_class(part.pop("_target_"))
        assert set(part) == set(inspect.signature(target).parameters)
        hints = get_type_hints(target.__init__, include_extras=True)
        for key, value in part.items():
            if isinstance(value, dict) and "_target_" in value:
                continue  # a part in a part is checked as a part
            TypeAdapter(hints[key]).validate_python(value, strict=True)


@pytest.mark.parametrize("name", names("loss"))
def test_losses_build_from_their_files(name: str) -> None:
    assert isinstance(instantiate(composed(f"+loss={name}")["loss"]), AdversarialLoss)


def test_regularizers_combine() -> None:
    node = composed("+regularizer=[gradient_penalty,weight_clipping]")["regularizer"]
    assert sorted(node) == ["gradient_penalty", "weight_clipping"]
    assert all(isinstance(instantiate(part), Regularizer) for part in node.values())
