"""Images that a model translates, encodes or is compared with: from a path, or from the data of its run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from saddlepoint.assembly import build
from saddlepoint.assembly.restore import Restored
from saddlepoint.data import DataModule
from saddlepoint.data.sources.image_set import ImageSet
from saddlepoint.data.transforms import normalise
from saddlepoint.errors import UserError
from saddlepoint.systems.capabilities import Encodes, Picture, Translates, rows_of


class Made(NamedTuple):
    """Inputs and outputs of the model.

    Attributes:
        inputs: float [N, C, H, W] in [-1, 1], after resizing.
        outputs: translations or reconstructions, float [N, C', H', W'] in [-1, 1].
        codes: the codes of the reconstructions, [N, Z]; None for translations.
    """

    inputs: Tensor
    outputs: Tensor
    codes: Tensor | None

    def picture(self, columns: int | None) -> Picture:
        """Return a picture with each output below its input."""
        return rows_of(self.inputs, self.outputs, columns=columns or 10)


def make(config: DictConfig, restored: Restored) -> Made:
    """Translate or reconstruct the first ``n`` images of ``config.inputs``.

    Raises:
        UserError: if the images cannot be used, or the model neither translates nor reconstructs images.
    """
    system = restored.system
    if isinstance(system, Translates):
        direction = config.direction or next(iter(system.directions))
        column = system.directions[direction][0] if direction in system.directions else None
        inputs = read(config.inputs, config.fit, restored, config.n, column)
        return Made(inputs, system.translate(inputs, direction, seed=config.seed, ema=config.ema).cpu(), None)
    if config.direction is not None:
        raise UserError("this model does not translate images", "direction", "leave it out")
    if not (isinstance(system, Encodes) and restored.info.is_image):
        name = restored.about["choices"]["model"]
        problem = f"model={name} neither translates nor reconstructs images"
        raise UserError(problem, "inputs", "leave it out to sample from noise")
    return reconstructed(config, restored)


def reconstructed(config: DictConfig, restored: Restored) -> Made:
    """Reconstruct the first ``n`` images of ``config.inputs``, or else of the held-out images of the run's data.

    Raises:
        UserError: if the images cannot be used, or the model does not encode images.
    """
    system = encoder(restored, "mode")
    if config.inputs is None:
        inputs = held_out(config, restored)
    else:
        inputs = read(config.inputs, config.fit, restored, config.n)
    codes = system.encode(inputs, ema=config.ema)
    return Made(inputs, system.decode(codes, ema=config.ema).cpu(), codes.cpu())


def encoder(restored: Restored, key: str) -> Encodes:
    """Return the system.

    Raises:
        UserError: an error of the setting ``key``, if the system does not encode images.
    """
    if isinstance(restored.system, Encodes):
        return restored.system
    name = restored.about["choices"]["model"]
    raise UserError(f"model={name} does not encode images", key, "choose a model that does, such as vae")


def read(path: str, fit: str | None, restored: Restored, n: int, column: str | None = None) -> Tensor:
    """Read the first images of a folder, a zip file or an ``.npz``, as the model was trained on them.

    Args:
        path: the images.
        fit: how they are fitted to the model's size: ``pad``, ``crop`` or ``resize``; None to fit them like the
            training images.
        restored: the model.
        n: maximum number of images.
        column: the column of the data that they replace; by default that of the samples.

    Returns:
        Float [N, C, H, W] in [-1, 1].

    Raises:
        UserError: if the images cannot be used.
    """
    info = restored.info
    channels, height, width = info.shape if column is None or info.columns is None else info.columns[column]
    fit = fit or restored.about["config"]["data"]["fit"]
    data = DataModule(ImageSet(path), [height, width], fit, channels, memory_limit_gb=0.0)  # type: ignore[arg-type]
    try:
        data.inspect()
        found = next(data.uint8_batches("train", n))[0]
    except UserError as error:
        raise error.at("inputs" if error.key in (None, "source.root") else error.key) from None
    return normalise(found.permute(0, 2, 3, 1))


def training_data(restored: Restored, plugins: Sequence[str]) -> DataModule:
    """Return the data of the checkpoint's run.

    Args:
        restored: the checkpoint.
        plugins: trusted packages whose classes the config of the data may name.

    Raises:
        UserError: if they are not on this machine, or have changed.
    """
    run: Any = OmegaConf.create(restored.about["config"])
    run.plugins = list(plugins)
    try:
        data, info = build.build_data(run)
    except UserError as error:
        raise UserError(f"the data of the run are not available: {error.problem}", "checkpoint", error.remedy) from None
    if info.fingerprint != restored.info.fingerprint:
        raise UserError(
            f"{info.name} has changed since the model was trained on it", "checkpoint", "restore the files of the data"
        )
    return data


def held_out(config: DictConfig, restored: Restored) -> Tensor:
    """Return the first ``n`` held-out images of the run's data, float [N, C, H, W] in [-1, 1]."""
    found = next(training_data(restored, config.plugins).uint8_batches("held_out", config.n))[0]
    return normalise(found.permute(0, 2, 3, 1))
