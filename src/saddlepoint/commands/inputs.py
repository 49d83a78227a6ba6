"""``sample.py inputs=PATH``: translates or reconstructs given images."""

from __future__ import annotations

from typing import NamedTuple

from omegaconf import DictConfig
from torch import Tensor

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
    if config.labels is not None or config.truncation != 1:
        key = "labels" if config.labels is not None else "truncation"
        raise UserError("it is for samples from noise, not for inputs=PATH", key, "leave it out")
    if isinstance(system, Translates):
        direction = config.direction or next(iter(system.directions))
        column = system.directions[direction][0] if direction in system.directions else None
        inputs = _read(config, restored, column)
        return Made(inputs, system.translate(inputs, direction, seed=config.seed, ema=config.ema).cpu(), None)
    if config.direction is not None:
        raise UserError("this model does not translate images", "direction", "leave it out")
    if not (isinstance(system, Encodes) and restored.info.is_image):
        name = restored.about["choices"]["model"]
        problem = f"model={name} neither translates nor reconstructs images"
        raise UserError(problem, "inputs", "leave it out to sample from noise")
    inputs = _read(config, restored, None)
    codes = system.encode(inputs, ema=config.ema)
    return Made(inputs, system.decode(codes, ema=config.ema).cpu(), codes.cpu())


def _read(config: DictConfig, restored: Restored, column: str | None) -> Tensor:
    """Read the first ``n`` images, with the size and the channels that the model was trained on."""
    info = restored.info
    channels, height, width = info.shape if column is None or info.columns is None else info.columns[column]
    fit = config.fit or restored.about["config"]["data"]["fit"]
    data = DataModule(ImageSet(config.inputs), [height, width], fit, channels, memory_limit_gb=0.0)  # type: ignore[arg-type]
    try:
        data.inspect()
        found = next(data.uint8_batches("train", config.n))[0]
    except UserError as error:
        raise error.at("inputs" if error.key == "source.root" else error.key) from None
    return normalise(found.permute(0, 2, 3, 1))
