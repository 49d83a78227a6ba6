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
from saddlepoint.regularizers import Regularizer

CONF = Path(__file__).resolve().parents[2] / "conf"


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def composed(*overrides: str) -> dict:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose(overrides=list(overrides)), resolve=True)


@pytest.mark.parametrize("norm", ["batch", "layer", "none", "spectral"])
@pytest.mark.parametrize("network", ["dcgan", "mlp", "mlp_maxout", "resnet", "resnet_wgan_gp"])
def test_networks_build_from_their_files(network: str, norm: str) -> None:
    width = [] if network == "mlp_maxout" else ["network.width=4"]
    node = composed(f"+network={network}", f"+norm={norm}", "+data.shape=[1,8,8]", "+model.latent_dim=6", *width)[
        "network"
    ]
    generator, discriminator = instantiate(node["generator"]), instantiate(node["discriminator"])
    output = discriminator(generator(torch.randn(2, 6)))
    assert output.logits.shape == (2,)
    has_vectors = any(name.endswith(".u") for name, _ in discriminator.named_buffers())
    assert has_vectors == (norm == "spectral")


def test_every_file_is_tested() -> None:
    assert names("network") == ["dcgan", "mlp", "mlp_maxout", "resnet", "resnet_wgan_gp"]
    assert names("norm") == ["batch", "layer", "none", "spectral"]


def parts(node: object) -> list[dict]:
    """Every node with a target, however deep."""
    if not isinstance(node, dict):
        return []
    return [node] * ("_target_" in node) + [part for child in node.values() for part in parts(child)]


@pytest.mark.parametrize("choice", [(g, n) for g in ("network", "loss", "regularizer") for n in names(g)], ids=str)
def test_every_knob_stands_in_its_file_and_has_a_valid_value(choice: tuple[str, str]) -> None:
    group, name = choice
    override = f"+{group}=[{name}]" if group == "regularizer" else f"+{group}={name}"
    for part in parts(composed(override, "+norm=batch", "+data.shape=[3,32,32]", "+model.latent_dim=8")):
        target = get_class(part.pop("_target_"))
        assert set(part) == set(inspect.signature(target).parameters)
        hints = get_type_hints(target.__init__, include_extras=True)
        for key, value in part.items():
            TypeAdapter(hints[key]).validate_python(value, strict=True)


@pytest.mark.parametrize("name", names("loss"))
def test_losses_build_from_their_files(name: str) -> None:
    assert isinstance(instantiate(composed(f"+loss={name}")["loss"]), AdversarialLoss)


def test_regularizers_combine() -> None:
    node = composed("+regularizer=[gradient_penalty,weight_clipping]")["regularizer"]
    assert sorted(node) == ["gradient_penalty", "weight_clipping"]
    assert all(isinstance(instantiate(part), Regularizer) for part in node.values())
