"""Every combination of loss, regularizer, augment and kind of network either trains or raises a UserError.

The choices are read from conf/, so new files are covered automatically. Every pair of choices is trained for three
updates in at least one combination, unless all combinations of the pair raise a UserError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import cycle, product
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import nn

from saddlepoint.assembly import build
from saddlepoint.config.directory import options
from saddlepoint.errors import UserError
from saddlepoint.kinds import NormKind
from saddlepoint.networks import (
    AutoencoderDiscriminator,
    AutoencoderGenerator,
    DCGANDiscriminator,
    DCGANGenerator,
    MLPDiscriminator,
    MLPGenerator,
)
from saddlepoint.systems import GAN
from saddlepoint.systems.game import Game
from saddlepoint.types import BATCHES

CONF = Path(__file__).resolve().parents[2] / "conf"
IMAGE, POINT, CLASSES, BATCH, UPDATES = (1, 8, 8), (2,), 3, 6, 3
ADAM = partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.999))


LOSSES = [name for name in options("loss") if name != "none"]
REGULARIZERS, AUGMENTS = ["none", *options("regularizer")], ["none", *options("augment")]


@cache
def part(group: str, name: str) -> Any:
    """Return the resolved content of a part's config file."""
    if name == "none":
        return {}
    override = f"+{group}={name}" if group == "loss" else f"+{group}=[{name}]"
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose(overrides=[override])[group], resolve=True)


@dataclass(frozen=True)
class Setting:
    """Networks and training options of a group of combinations."""

    generator: Callable[[], nn.Module]
    discriminator: Callable[[], nn.Module]
    loss: str = "nonsaturating"
    regularizer: str = "none"
    labelled: bool = False
    accumulate: int = 1


def perceptrons(shape: tuple[int, ...] = IMAGE, of_g: str = "none", **options: Any) -> dict[str, Any]:
    """Return small multilayer perceptrons."""
    told: dict[str, Any] = {"conditioning": of_g, "num_classes": CLASSES}
    return {
        "generator": lambda: MLPGenerator(shape, 3, [6], norm="layer", **told),
        "discriminator": lambda: MLPDiscriminator(shape, [6, 6], num_classes=CLASSES, **options),
    }


def convolutions(norm: NormKind, of_g: str = "none", **options: Any) -> dict[str, Any]:
    """Return small DCGAN networks."""
    told: dict[str, Any] = {"conditioning": of_g, "num_classes": CLASSES}
    return {
        "generator": lambda: DCGANGenerator(IMAGE, 3, 2, norm, **told),
        "discriminator": lambda: DCGANDiscriminator(IMAGE, 2, norm, num_classes=CLASSES, **options),
    }


SETTINGS = {
    "images": Setting(**perceptrons()),
    "points": Setting(**perceptrons(POINT)),
    "batch norm": Setting(**convolutions("batch")),
    "spectral norm": Setting(**convolutions("layer", spectral_norm=True)),
    "packs": Setting(**perceptrons(packing=2)),
    "standard deviation": Setting(**perceptrons(minibatch="stddev")),
    "projection": Setting(**convolutions("none", "adain", conditioning="projection"), labelled=True),
    "classifier": Setting(
        **perceptrons(of_g="concat", conditioning="auxiliary"), regularizer="auxiliary_classifier", labelled=True
    ),
    "autoencoder": Setting(
        lambda: AutoencoderGenerator(IMAGE, 3, 2, "layer"),
        lambda: AutoencoderDiscriminator(IMAGE, 2, "layer"),
        loss="began",
    ),
    "accumulation": Setting(**perceptrons(), accumulate=2),
}


class Alone:
    """The attributes of a trainer that a game uses, for one process; a real trainer takes longer to set up."""

    world_size, global_rank, precision_plugin = 1, 0, None


ALONE = Alone()


def play(system: Game, samples: Iterator[Any]) -> None:
    """Train for three generator updates, and check that losses are finite and that weights change."""
    system.trainer = ALONE  # type: ignore[assignment]
    system.configure_optimizers()
    system.on_fit_start()
    before = {name: value.detach().clone() for name, value in system.named_parameters()}
    while system.progress.generator_updates < UPDATES:
        system.training_step(next(samples), 0)
    assert all(value.isfinite().all() for value in system.logs.values())
    assert all(value.isfinite().all() for value in system.state_dict().values())
    for role in system.networks:
        now = {name: value for name, value in system.named_parameters() if name.startswith(f"{role}.")}
        assert any(not torch.equal(before[name], value) for name, value in now.items()), role


def batches(columns: Mapping[str, Sequence[int]], labelled: bool, n: int = BATCH) -> Iterator[Any]:
    random = torch.Generator().manual_seed(1)
    while True:
        samples = {name: torch.rand((n, *shape), generator=random) * 2 - 1 for name, shape in columns.items()}
        labels = torch.randint(CLASSES, (n,), generator=random) if labelled else None
        yield BATCHES[tuple(columns)](**samples, labels=labels)


def built(nodes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: instantiate(node, _convert_="all") for name, node in nodes.items()}


@cache
def refusal(setting: str, loss: str, regularizer: str = "none", augment: str = "none") -> str | None:
    """Train a combination; return None, or the message of the UserError."""
    kind = SETTINGS[setting]
    torch.manual_seed(0)
    try:
        system = GAN(
            {"generator": kind.generator(), "discriminator": kind.discriminator()},
            instantiate(part("loss", loss), _convert_="all"),
            augments=built(part("augment", augment)),
            regularizers=built({**part("regularizer", kind.regularizer), **part("regularizer", regularizer)}),
            optimizers={"generator": ADAM, "discriminator": ADAM},
            latent_dim=3,
            accumulate=kind.accumulate,
        )
        play(system, batches({"points": POINT} if setting == "points" else {"images": IMAGE}, kind.labelled))
    except UserError as error:
        line = str(error)
        assert "\n" not in line
        assert len(line) > 40
        return line
    return None


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_part_in_every_setting(setting: str) -> None:
    """Three parts are combined at a time; if that raises an error, each is tried with the setting's default loss."""
    own = SETTINGS[setting].loss
    refused: dict[str, set[str]] = {"loss": set(), "regularizer": set(), "augment": set()}
    rows = zip(range(max(map(len, (LOSSES, REGULARIZERS)))), cycle(LOSSES), cycle(REGULARIZERS), cycle(AUGMENTS))
    for _, loss, regularizer, augment in rows:
        if refusal(setting, loss, regularizer, augment) is not None:
            refused["loss"] |= {loss} if refusal(setting, loss) else set()
            refused["regularizer"] |= {regularizer} if refusal(setting, own, regularizer) else set()
            refused["augment"] |= {augment} if refusal(setting, own, "none", augment) else set()
    for group, names in refused.items():
        assert REFUSED.get((setting, group), set()) <= names, group
        assert not {own, "none"} & names


REFUSED = {
    ("batch norm", "regularizer"): {
        "r1",
        "r2",
        "r3gan",
        "r3gan_ramps",
        "gradient_penalty",
        "dragan",
        "path_length",
        "stylegan2",
        "gansformer",
        "vitgan",
    },
    ("points", "regularizer"): {"cr", "bcr", "vitgan", "zcr"},
    ("points", "augment"): {"diffaugment", "ada", "random_transformations"},
    ("autoencoder", "augment"): {"ada"},
    ("autoencoder", "loss"): {"hinge", "nonsaturating", "wasserstein"},
    ("images", "loss"): {"began", "ebgan"},
    ("projection", "loss"): {"mmd"},
    ("accumulation", "regularizer"): {"feature_matching", "mode_seeking", "pulling_away"},
}
"""Parts that must raise a UserError; other parts may raise one."""


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_with_every_regularizer_and_augment(loss: str) -> None:
    """Each regularizer is trained in the first setting that supports it; augments are rotated to cover all of them."""
    trained: set[tuple[str, str]] = set()
    for index, regularizer in enumerate(REGULARIZERS, start=LOSSES.index(loss)):
        turns = [AUGMENTS[(index + shift) % len(AUGMENTS)] for shift in range(len(AUGMENTS))]
        for augment, setting in product(turns, ("images", "autoencoder", "classifier")):
            if refusal(setting, loss, regularizer, augment) is None:
                trained.add((regularizer, augment))
                break
    of_logits = ON_LOGITS if loss == "mmd" else set()
    played = {regularizer for regularizer, _ in trained} | {"auxiliary_classifier"}  # it does not support energies
    assert played == set(REGULARIZERS) - of_logits
    missing = set(AUGMENTS) - {augment for _, augment in trained}
    assert missing == ({"ada"} if loss in SIGNLESS else set())
    assert all("logits, and MMD uses" in str(refusal("images", "mmd", regularizer)) for regularizer in of_logits)
    assert not missing or "ADA a" in str(refusal("images", loss, "none", "ada")) or loss in ENERGIES


ENERGIES = {"began", "ebgan"}
SIGNLESS = {*ENERGIES, "mmd", "wasserstein", "rgan", "ragan", "rpgan"}
"""Losses for which the sign of a score is arbitrary, which ADA does not support."""
ON_LOGITS = {
    "bcr",
    "cr",
    "dragan",
    "drift",
    "gansformer",
    "gradient_penalty",
    "lecam",
    "r1",
    "r2",
    "r3gan",
    "r3gan_ramps",
    "stylegan2",
    "vitgan",
    "zcr",
}
"""Regularizers of the logits, which MMD does not use."""


MODELS = options("model")
COLUMNS: dict[str, dict[str, Sequence[int]]] = {
    "pix2pix": {"inputs": (2, 8, 8), "targets": IMAGE},
    "cyclegan": {"a": (2, 8, 8), "b": IMAGE},
}
"""Columns of the data of models that are not trained on single images."""
WITHOUT_AUGMENTS = {"aae", "lapgan", "vae", "vaegan", "pix2pix", "cyclegan", "pixelcnn", "row_lstm", "diagonal_bilstm"}


@pytest.mark.parametrize("model", MODELS)
def test_every_model_by_default_and_with_an_augment(model: str) -> None:
    augment = AUGMENTS[1 + MODELS.index(model) % (len(AUGMENTS) - 1)]
    assert refusal_of_model(model) is None
    refused = refusal_of_model(model, augment=augment)
    if model in WITHOUT_AUGMENTS:
        assert refused is not None
        assert refused.startswith("augment: ")
    else:
        assert refused is None or augment == "ada", refused


@pytest.mark.parametrize("regularizer", options("regularizer"))
@pytest.mark.parametrize(
    "model",
    ["bigan", "cyclegan", *(pytest.param(name, marks=pytest.mark.slow) for name in ("vae", "infogan", "pix2pix"))],
)
def test_other_systems_with_every_regularizer(model: str, regularizer: str) -> None:
    """Each combination trains or raises a UserError with the regularizer's key."""
    refused = refusal_of_model(model, regularizer=regularizer)
    assert (refused is None) == (regularizer in TRAINED_BY[model]), refused
    keys = (
        f"regularizer.{regularizer}",
        "regularizer.r",
        "regularizers.",
        "network.discriminator.",
        "network.generator.",
    )
    assert refused is None or refused.startswith(keys)


OF_ANY = {"drift", "feature_matching", "historical_averaging", "lecam", "orthogonal", "pulling_away", "weight_clipping"}
OF_GRADIENTS = {"dragan", "gradient_penalty", "mmd_gradient_penalty", "r1", "r2", "r3gan", "r3gan_ramps"}
"""Regularizers that do not support BatchNorm."""
TRAINED_BY: dict[str, set[str]] = {
    "vae": set(),
    "infogan": {*OF_ANY, "bcr", "cr", "mode_seeking", "zcr"},
    "bigan": OF_ANY,
    "pix2pix": OF_ANY,
    "cyclegan": set(),
}
"""Regularizers that each model supports; VAE and CycleGAN have no players with the default names."""


@pytest.mark.parametrize("regularizer", sorted(OF_GRADIENTS))
def test_a_conditional_critic_of_images_with_penalties_on_gradients(regularizer: str) -> None:
    assert refusal_of_model("pix2pix", norm=False, regularizer=regularizer) is None


@pytest.mark.parametrize("augment", options("augment"))
@pytest.mark.parametrize("model", ["infogan", "bigan"])
def test_other_systems_with_every_augment(model: str, augment: str) -> None:
    assert refusal_of_model(model, augment=augment) is None


def refusal_of_model(model: str, norm: bool = True, **parts: str) -> str | None:
    """Train a model with other parts than its defaults; return None, or the message of the UserError."""
    config = composed(model)
    with open_dict(config):
        if not norm:
            config.network.discriminator.norm = "none"
        for group, name in parts.items():
            config[group] = part(group, name)
    torch.manual_seed(0)
    try:
        system = build.build_system(config)
        play(system, batches(COLUMNS.get(model, {"images": IMAGE}), labelled=model not in COLUMNS, n=8))
    except UserError as error:
        return str(error)
    return None


def composed(model: str) -> DictConfig:
    """Return a model's config with tiny networks."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", [f"model={model}", "data=digits"])
    with open_dict(config):
        config.data.shape, config.data.num_classes = list(IMAGE), CLASSES
        if model in COLUMNS:
            config.data.columns = {name: list(shape) for name, shape in COLUMNS[model].items()}
        if "latent_dim" in config.model:
            config.model.latent_dim = {"infogan": 14, "gansformer": 17, "biggan": 4}.get(
                model, 3
            )  # 12 are codes; 17 latents; 2 parts
        config.network = shrunk(OmegaConf.to_container(config.network))
    return config


def shrunk(node: Any, key: str = "") -> Any:
    """Return the config node with small widths and hidden layers, and patches of one pixel."""
    if isinstance(node, dict):
        return {key: shrunk(value, key) for key, value in node.items()}
    hidden = [4] * len(node) if isinstance(node, list) else 4
    small = {
        "width": 4,
        "heads": 1,
        "hidden": hidden,
        "units": 4,
        "receptive_field": 1,
        "blocks": 1,
        "output_features": 4,
    }
    follows = "$" in str(node)  # an interpolation
    return small[key] if key in small and not follows else node
