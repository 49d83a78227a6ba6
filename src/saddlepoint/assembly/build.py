"""Builds the data, the feature extractor and the system of a config."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf, open_dict

from saddlepoint import processes, randomness
from saddlepoint.assembly.parts import GROUPS, located, part
from saddlepoint.config.check import check_parts, check_values
from saddlepoint.config.signatures import signature_of
from saddlepoint.config.targets import resolve_target
from saddlepoint.data import DataModule
from saddlepoint.errors import UserError
from saddlepoint.metrics.features import FeatureExtractor
from saddlepoint.systems.capabilities import Encodes, HasLikelihood, InfersCodes
from saddlepoint.systems.encoders import Encoder
from saddlepoint.systems.game import Game
from saddlepoint.systems.progress import Budget
from saddlepoint.types import Batch, Captioned, DataInfo, ImageBatch, Paired, Unpaired, VectorBatch

log = logging.getLogger(__name__)

FROM_OTHERS = {"networks", "optimizers", "schedule", "gradient_clip", "budget", "seed", "encoder", *GROUPS.values()}
PROVIDED = {"model": FROM_OTHERS, "data": {"shape", "num_classes", "columns"}}
"""Arguments that the code passes: to the model, other parts of the config; to the data, results of their inspection."""

KINDS: dict[type[Batch], tuple[str, str]] = {
    ImageBatch: ("images", "digits, mnist, cifar10 or image_folder"),
    VectorBatch: ("points", "gaussians"),
    Paired: ("pairs of images", "facades or paired_folder"),
    Unpaired: ("unpaired images of two domains", "unpaired_folder or unpaired_mnist"),
    Captioned: ("captioned images", "your own"),
}
"""For each type of batch, a description of the data and examples of ``data=``."""


def build_data(config: DictConfig) -> tuple[DataModule, DataInfo]:
    """Build the data module, inspect its files, and set the keys of ``data`` that the rest of the config refers to.

    Raises:
        UserError: if the data are missing or damaged, or need other settings.
    """
    content = OmegaConf.to_container(config.data, resolve=False)
    check_values(config, "data", content, config.plugins)  # type: ignore[arg-type]
    data: DataModule = part(config.data, config.plugins)
    try:
        info = data.inspect()
    except UserError as error:
        if error.key is None:  # the error is about a file
            raise
        raise located(error, "data", OmegaConf.to_container(config, resolve=False)) from None
    if processes.rank() == 0:
        for notice in data.notices():
            log.warning(notice)
    fill(config, info)
    return data, info


def fill(config: DictConfig, info: DataInfo, shape: Sequence[int] | None = None) -> None:
    """Set ``data.shape``, ``data.num_classes`` and, for data of several columns, ``data.columns``.

    Args:
        config: the config, modified in place.
        info: the description of the data.
        shape: the shape of the networks' inputs if it differs from that of the data, as with an encoder.
    """
    with open_dict(config):
        if info.columns is not None:
            config.data.columns = {name: list(shape) for name, shape in info.columns.items()}
        config.data.shape = list(shape or info.shape)
        config.data.num_classes = info.num_classes


def build_extractor(config: DictConfig) -> FeatureExtractor | None:
    """Build the feature extractor, or None for ``features=none``."""
    if config.features is None:
        return None
    try:
        extractor: FeatureExtractor = part(config.features, config.plugins)
    except UserError as error:
        raise located(error, "features", {}) from None
    return extractor


def build_system(config: DictConfig, typed: Sequence[str] = (), encoder: Encoder | None = None) -> Game:
    """Build the networks, the parts and the system; the initial weights depend on the seed.

    A system receives the parts that its ``__init__`` has parameters for.

    Args:
        config: the config, checked against the schema.
        typed: the overrides of the command line; an error is raised for options that no part uses.
        encoder: the encoder in whose latent space the system is trained, or None.

    Raises:
        UserError: if the parts cannot be built from the config, or the system does not take one of the groups.
    """
    check_parts(config, PROVIDED, config.plugins, typed)
    plugins = config.plugins
    raw: Any = OmegaConf.to_container(config, resolve=False)
    target = resolve_target(config.model["_target_"], plugins)
    taken = signature_of(target).keys()
    torch.manual_seed(randomness.key(config.seed, "weights"))
    networks = _parts_of(config.network, "network", raw, plugins)
    optimizers = _parts_of(config.optimizer, "optimizer", raw, plugins)
    for network in networks.values():
        network.to(memory_format=torch.channels_last)  # the format of the batches; 1.2 times as fast on a CPU
    given: dict[str, Any] = {}
    for group, argument in GROUPS.items():
        node = config.get(group)
        if argument in taken:
            given[argument] = _parts_of(node, group, raw, plugins) if group != "loss" else _loss(node, raw, plugins)
        elif node:
            name = str(config.model["_target_"]).rpartition(".")[2]
            raise UserError(f"{name} takes no {group}", group, f"leave {group} out")
    try:
        system: Game = part(
            config.model,
            plugins,
            networks=networks,
            optimizers=optimizers,
            schedule=config.optimizer.schedule,
            gradient_clip=config.optimizer.gradient_clip,
            budget=Budget(**config.budget),
            seed=config.seed,
            encoder=encoder,
            **given,
        )
    except UserError as error:
        raise located(error, "model", raw) from None
    try:
        system.configure_optimizers()
    except (ValueError, TypeError) as error:
        raise UserError(str(error), "optimizer") from None
    return system


def _parts_of(group: DictConfig | None, path: str, raw: Any, plugins: Sequence[str]) -> dict[str, Any]:
    """Build the parts of a group, by name. Other keys of the group are only referred to by interpolations."""
    built = {}
    for name, node in (group or {}).items():
        if OmegaConf.is_dict(node) and "_target_" in node:
            try:
                built[str(name)] = part(node, plugins)
            except UserError as error:
                raise located(error, f"{path}.{name!s}", raw) from None
    return built


def _loss(node: DictConfig | None, raw: Any, plugins: Sequence[str]) -> Any:
    if not node:
        raise UserError("this model needs a loss", "loss", "choose one")
    try:
        return part(node, plugins)
    except UserError as error:
        raise located(error, "loss", raw) from None


def check_data_kind(config: DictConfig, info: DataInfo, choices: Mapping[str, str]) -> None:
    """Check that the model can be trained on data of this kind.

    Raises:
        UserError: if it cannot.
    """
    takes: tuple[type[Batch], ...] = resolve_target(config.model["_target_"], config.plugins).takes  # type: ignore[attr-defined]
    if info.batch not in takes:
        wanted, has = " or ".join(KINDS[kind][0] for kind in takes), KINDS[info.batch][0]
        problem = f"model={choices['model']} trains on {wanted}, and data={choices['data']} has {has}"
        raise UserError(problem, "data", f"choose {KINDS[takes[0]][1]}")


def check_encoder(config: DictConfig, choices: Mapping[str, str]) -> None:
    """Refuse an encoder for a model that reads images itself, such as one that encodes or translates.

    Raises:
        UserError: naming the model.
    """
    if not config.get("encoder"):
        return
    system: Any = resolve_target(config.model["_target_"], config.plugins)
    if VectorBatch not in system.takes or issubclass(system, (Encodes, HasLikelihood, InfersCodes)):
        raise UserError(f"model={choices['model']} trains on the data themselves", "encoder", "leave it out")
