"""Builds the parts that a checked config chooses."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf, open_dict

from saddlepoint import randomness
from saddlepoint.commands.check import check_parts, resolve_target, signature_of
from saddlepoint.data import DataModule
from saddlepoint.errors import UserError
from saddlepoint.metrics.features import FeatureExtractor
from saddlepoint.systems.distributed import GameStrategy, command_of
from saddlepoint.systems.game import Game
from saddlepoint.systems.progress import Budget
from saddlepoint.types import DataInfo

PROVIDED = {
    "model": {
        "networks",
        "loss",
        "augments",
        "optimizers",
        "regularizers",
        "schedule",
        "gradient_clip",
        "budget",
        "seed",
    },
    "data": {"shape", "num_classes"},  # filled in by the inspection, for other parts to read
}
"""Arguments that come from other parts of the config."""

ROUNDS_OF_POINTS = 25
"""A round on points takes a millisecond or two, about what Lightning's loop costs around it."""

SMALLEST_SIDE_FOR_BF16 = 16
"""On a CPU, below this many pixels the casts cost more than they save."""


def part(node: DictConfig, plugins: Sequence[str], **provided: Any) -> Any:
    """Instantiate one part; keys that only serve other parts' interpolations stay out."""
    content = arguments_of(node, plugins)
    try:
        if not provided:
            return instantiate(content, _convert_="all")
        # Called by us, not by Hydra, which would take networks and dataclasses apart as if they were configs.
        return instantiate(content, _convert_="all", _partial_=True)(**provided)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        raise UserError(f"{node.get('_target_')}: {cause or str(error).splitlines()[0]}") from error


def arguments_of(node: DictConfig, plugins: Sequence[str]) -> Any:
    """Return a part's ``_target_`` and arguments as plain containers, resolved."""
    return _stripped(OmegaConf.to_container(node, resolve=True), plugins)


def _stripped(node: Any, plugins: Sequence[str]) -> Any:
    if isinstance(node, list):
        return [_stripped(value, plugins) for value in node]
    if not isinstance(node, dict):
        return node
    if "_target_" in node:
        target = resolve_target(node["_target_"], plugins)
        partial = inspect.isclass(target) and issubclass(target, torch.optim.Optimizer)  # players give the parameters
        known = signature_of(target).keys() | {"_target_", *(["_partial_"] if partial else [])}
        node = {key: value for key, value in node.items() if key in known}
    return {key: _stripped(value, plugins) for key, value in node.items()}


def build_data(config: DictConfig) -> tuple[DataModule, DataInfo]:
    """Build the data module, inspect its files, and fill in what the rest of the config asks of the data."""
    data: DataModule = part(config.data, config.plugins)
    info = data.inspect()
    fill(config, info)
    return data, info


def fill(config: DictConfig, info: DataInfo) -> None:
    """Set ``data.shape`` and ``data.num_classes``."""
    with open_dict(config):
        config.data.shape = list(info.shape)
        config.data.num_classes = info.num_classes


def build_extractor(config: DictConfig) -> FeatureExtractor | None:
    """Build the feature extractor, or None for ``features=none``."""
    return None if config.features is None else part(config.features, config.plugins)


def build_system(config: DictConfig) -> Game:
    """Build the networks, the loss, the regularizers and the system, with weights keyed by the seed.

    Raises:
        UserError: where the config does not fit the parts.
    """
    check_parts(config, PROVIDED, config.plugins)
    plugins = config.plugins
    torch.manual_seed(randomness.key(config.seed, "weights"))
    networks = {
        role: part(node, plugins)
        for role, node in config.network.items()
        if OmegaConf.is_dict(node) and "_target_" in node
    }
    optimizers = {
        name: part(node, plugins)
        for name, node in config.optimizer.items()
        if OmegaConf.is_dict(node) and "_target_" in node
    }
    for network in networks.values():
        network.to(memory_format=torch.channels_last)  # as the loaders' batches are: 1.2 times as fast on a CPU
    target = resolve_target(config.model["_target_"], plugins)
    _check_roles(target, networks, optimizers)
    system: Game = part(
        config.model,
        plugins,
        networks=networks,
        loss=part(config.loss, plugins),
        optimizers=optimizers,
        regularizers={name: part(node, plugins) for name, node in (config.get("regularizer") or {}).items()},
        augments={name: part(node, plugins) for name, node in (config.get("augment") or {}).items()},
        schedule=config.optimizer.schedule,
        gradient_clip=config.optimizer.gradient_clip,
        budget=Budget(**config.budget),
        seed=config.seed,
    )
    try:
        system.configure_optimizers()
    except (ValueError, TypeError) as error:
        raise UserError(f"optimizer: {error}") from None
    return system


def _check_roles(target: Any, networks: dict[str, Any], optimizers: dict[str, Any]) -> None:
    for player, owned in target.roles.items():
        if player not in optimizers:
            raise UserError(f"missing key 'optimizer.{player}', which {target.__name__} needs")
        for role in owned:
            if role not in networks:
                raise UserError(f"missing key 'network.{role}', which {target.__name__} needs")


def rounds_per_step(config: DictConfig, info: DataInfo) -> int:
    """Return how many rounds Lightning's loop hands over at a time; where they are short, its own cost is spread."""
    wanted: int | None = config.trainer.rounds_per_step
    return wanted or (1 if info.is_image else ROUNDS_OF_POINTS)


def build_trainer(config: DictConfig, info: DataInfo, overrides: Sequence[str], **options: Any) -> pl.Trainer:
    """Build Lightning's trainer for a game: manual optimization, our own counters, checkpoints and bar.

    Args:
        config: the run's.
        info: the data set's.
        overrides: this job's command line, which further processes are started with.
        options: of Lightning's trainer.
    """
    trainer = config.trainer
    several = trainer.devices * trainer.num_nodes > 1
    try:
        return pl.Trainer(
            accelerator=trainer.accelerator,
            devices=trainer.devices,
            num_nodes=trainer.num_nodes,
            strategy=GameStrategy(command_of("train", overrides)) if several else "auto",
            precision=precision(trainer.precision, trainer.accelerator, info),
            deterministic=trainer.deterministic,
            max_epochs=-1,
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            logger=False,
            **options,
        )
    except (MisconfigurationException, RuntimeError) as error:  # the latter for what SLURM was told
        raise UserError(f"trainer: {str(error).splitlines()[0]}") from None


def precision(wanted: str, accelerator: str, info: DataInfo) -> Any:
    """Resolve ``auto``: bf16 where the hardware computes in it and the work is large enough to gain."""
    if wanted != "auto":
        return wanted
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16-mixed" if fast and info.is_image else "32-true"
    if accelerator in ("auto", "mps") and torch.backends.mps.is_available():
        return "32-true"
    fast = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bf16-mixed" if fast and info.is_image and min(info.shape[1:]) >= SMALLEST_SIDE_FOR_BF16 else "32-true"
