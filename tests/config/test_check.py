"""Checks of configs against the schema and signatures, and of options that no part uses."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf

from saddlepoint.assembly import build
from saddlepoint.config.check import GROUPS_OF_OPTIONS, check_options, check_parts
from saddlepoint.config.compose import compose_config
from saddlepoint.config.schema import TrainConfig
from saddlepoint.config.strict import check_schema
from saddlepoint.errors import UserError
from saddlepoint.types import DataInfo

DIGITS = DataInfo("stub", (1, 8, 8), tuple("0123456789"), {"train": 100, "held_out": 10}, "0" * 32)


def refused(*overrides: str) -> UserError:
    with pytest.raises(UserError) as caught:
        check(*overrides)
    return caught.value


def check(*overrides: str) -> None:
    """Check a config and its overrides as a run does."""
    config = compose_config("train", overrides)
    check_schema(config, TrainConfig)
    build.fill(config, DIGITS)
    check_parts(config, build.PROVIDED, config.plugins, overrides)


WRONG = {
    # the schema
    "+batch_sise=3": ("batch_sise", "unknown key", "did you mean 'batch_size'?"),
    "+callbacks.scores.m=3": ("callbacks.scores.m", "unknown key", None),
    "~seed": ("seed", "missing key", None),
    "~loss._target_": ("loss._target_", "missing key", None),
    "batch_size=-1": ("batch_size", "input should be greater than 0, got -1", None),
    "batch_size=many": ("batch_size", "input should be a valid integer, got 'many'", None),
    "batch_size='3'": ("batch_size", "input should be a valid integer, got '3'", None),
    "seed=true": ("seed", "input should be a valid integer, got True", None),
    # signatures
    "+loss.label_smooting=0.1": ("loss.label_smooting", "unknown key", "did you mean 'label_smoothing'?"),
    "+network.widht=3": ("network.widht", "unknown key", "did you mean 'width'?"),
    "+optimizer.shedule=linear": ("optimizer.shedule", "unknown key", "did you mean 'schedule'?"),
    "~network.generator._target_": ("network.generator._target_", "missing key", None),
    "~network.generator.latent_dim": (
        "network.generator.latent_dim",
        "missing key, required by saddlepoint.networks.DCGANGenerator",
        None,
    ),
    "loss.label_smoothing=2": ("loss.label_smoothing", "input should be less than or equal to 1, got 2", None),
    "network.width=wide": (
        "network.width",
        "input should be a valid integer, unable to parse string as an integer, got 'wide'",
        None,
    ),
    "network.width='4'": ("network.width", "input should be a number, got '4'", None),
    "network.width=true": ("network.width", "input should be a number, got True", None),
    "loss._target_=saddlepoint.losses.Hinges": (
        "loss._target_",
        "target 'saddlepoint.losses.Hinges' is not allowed",
        "did you mean 'saddlepoint.losses.Hinge'?",
    ),
    "+loss._args_=[1]": ("loss._args_", "unknown key", None),
    "+loss._partial_=true": ("loss._partial_", "unknown key", None),
    "+loss._recursive_=true": ("loss._recursive_", "unknown key", None),
}


@pytest.mark.parametrize("override", WRONG)
def test_a_wrong_key_or_value_is_named(override: str) -> None:
    error = refused(override)
    assert (error.key, error.problem, error.remedy) == WRONG[override]


# Options that no part uses


def test_the_defaults_are_those_of_the_configs() -> None:
    config = compose_config("train")
    for group, default in GROUPS_OF_OPTIONS.items():
        assert OmegaConf.to_container(config[group]) == default.model_dump()


UNREAD = {
    # began has no norms, labels or minibatch layers
    "network=began norm=layer": ("norm", "norm.discriminator"),
    "network=began norm.generator=layer": ("norm.generator", "norm.generator"),
    "network=began ++norm.discriminator=group": ("norm.discriminator", "norm.discriminator"),
    "network=began conditioning=concat": ("conditioning", "conditioning.generator or conditioning.discriminator"),
    "network=began conditioning.generator=concat": ("conditioning.generator", "conditioning.generator"),
    "network=began minibatch=packing": ("minibatch", "minibatch.packing"),
    "network=began minibatch.layer=stddev": ("minibatch.layer", "minibatch.layer"),
    "network=began model=cgan": ("conditioning.generator", "conditioning.generator"),  # set by the model's file
    "network=began model=pacgan": ("minibatch.packing", "minibatch.packing"),
    "network=autoencoder minibatch=stddev": ("minibatch", "minibatch.layer"),
    # network=mlp sets the discriminator's norm itself and reads norm.generator
    "network=mlp norm=layer": ("norm", "norm.discriminator"),
    "network=mlp norm.discriminator=group": ("norm.discriminator", "norm.discriminator"),
    "network=mlp_maxout norm.generator=layer": ("norm.generator", "norm.generator"),
}


@pytest.mark.parametrize("overrides", UNREAD)
def test_what_no_part_reads_is_refused_by_name(overrides: str) -> None:
    error = refused(*overrides.split(" "))
    assert (error.key, error.problem) == (UNREAD[overrides][0], f"no part of this run uses {UNREAD[overrides][1]}")
    assert error.remedy == "leave it out, or choose another network"


@pytest.mark.parametrize(
    "overrides",
    [
        "network=began norm=spectral",  # the discriminator reads norm.spectral_norm
        "network=began norm.spectral_norm=true",
        "network=began norm=none",  # sets no option
        "network=began norm=batch",  # the default
        "network=began conditioning=none minibatch=none",
        "network=began model=wgan_gp",  # the model's norm may be unused
        "network=mlp norm=none",
        "network=mlp norm=spectral",
        "network=mlp norm.generator=layer",
        "network=mlp conditioning=projection minibatch=stddev",
        "network=autoencoder norm=layer",
        "network=dcgan norm=layer conditioning=projection minibatch=stddev",
        "network=resnet norm=layer minibatch=packing",
        "~minibatch network=began",
        "network=began ~norm.generator",
    ],
)
def test_what_a_part_reads_or_asks_for_nothing_passes(overrides: str) -> None:
    check(*overrides.split(" "))  # raises UserError if an override is not used


def test_a_checkpoints_own_norm_is_not_held_to_it() -> None:
    raw: dict[str, Any] = {"norm": {"generator": "batch", "discriminator": "layer", "spectral_norm": False}}
    check_options(raw, set())
    with pytest.raises(UserError):
        check_options(raw, set(), ["norm=layer"])


def test_a_part_that_takes_the_whole_group_reads_all_of_it() -> None:
    check_options({"norm": {"generator": "layer"}}, {"norm"}, ["norm.generator=layer"])
