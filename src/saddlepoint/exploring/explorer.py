"""What the page of ``explore.py`` shows, without its widgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from saddlepoint.assembly.restore import Restored
from saddlepoint.data import DataModule
from saddlepoint.data.fit import Fit
from saddlepoint.data.images import decode
from saddlepoint.data.transforms import normalise
from saddlepoint.errors import UserError
from saddlepoint.evaluation.pictures import nearest_training
from saddlepoint.exploring import directions, inputs, paths, walks
from saddlepoint.metrics.quantise import quantise
from saddlepoint.systems.capabilities import Encodes, HasLatents, Translates, rows_of
from saddlepoint.tracking import pictures

WAY = 9
"""Number of samples on the path between two seeds."""
SLIDERS = 8
"""Number of directions that are shown at a time."""


@dataclass(frozen=True)
class View:
    """The position of all sliders.

    Attributes:
        seed: seed of the sample at the start.
        other: seed of the sample at the end of the way.
        position: position on the way from the one to the other, in [0, 1].
        truncation: truncation of the latents, in (0, 1].
        label: class, or None for an unconditional generator.
        along: how the directions are found: ``sefa``, ``pca`` or ``axes``.
        first: index of the first direction that is shown.
        amounts: how far the sample is moved along each direction, in standard deviations of the prior.
        start: latents [1, Z] of an encoded image, which replace those of ``seed``; or None.
    """

    seed: int = 0
    other: int = 1
    position: float = 0.0
    truncation: float = 1.0
    label: int | None = None
    along: str = "sefa"
    first: int = 0
    amounts: tuple[float, ...] = (0.0,) * SLIDERS
    start: Tensor | None = None


class Shown(NamedTuple):
    """A sample, uint8 [1, C, H, W], and the way between two seeds, uint8 [9, C, H, W], moved by the same amounts."""

    sample: Tensor
    way: Tensor


class Explorer:
    """Computes the pictures of a page.

    Args:
        restored: the model.
        ema: whether to use the averaged weights, if they exist.
        plugins: trusted packages whose classes the config of the data may name.

    Raises:
        UserError: the model is not one of images.
    """

    def __init__(self, restored: Restored, ema: bool = True, plugins: Sequence[str] = ()) -> None:
        if not restored.info.is_image:
            raise UserError("the samples of this model are points, not images", "checkpoint", "use sample.py")
        if not isinstance(restored.system, HasLatents | Translates):
            problem = f"model={restored.about['choices']['model']} has no latents to explore"
            raise UserError(problem, "checkpoint", "use sample.py")
        self.restored, self.ema, self.plugins = restored, ema, plugins
        self.system = restored.system
        if isinstance(self.system, HasLatents):
            # Samples of the page need not equal those of other batch sizes bit by bit, and smaller batches are faster.
            self.system.block = min(self.system.block, 1 + WAY)
        self.directions = lru_cache(self._directions)

    @property
    def truncates(self) -> bool:
        """Whether the latents can be truncated."""
        try:
            self.generator.draw(0, 0, 1, 0.5)
        except UserError:
            return False
        return True

    @property
    def dimensions(self) -> int:
        """Number of dimensions of the latents, and of directions."""
        return int(self.generator.draw(0, 0, 1).latents.shape[1])

    @property
    def generator(self) -> HasLatents:
        """The system, which generates samples from latents."""
        assert isinstance(self.system, HasLatents)
        return self.system

    def show(self, view: View) -> Shown:
        """Compute the pictures of a view."""
        system = self.generator
        ends = [system.draw(seed, 0, 1, view.truncation).latents for seed in (view.seed, view.other)]
        if view.start is not None:
            ends[0] = view.start
        t = torch.tensor([view.position, *torch.linspace(0, 1, WAY)])
        start, end = (one.expand(len(t), -1) for one in ends)
        latents = paths.slerp(start, end, t) if system.prior == "normal" else paths.lerp(start, end, t)
        latents = latents + self._moved(view)
        labels = None if view.label is None else torch.full((len(t),), view.label)
        samples = system.sample(
            len(t),
            labels=labels,
            latents=latents,
            seed=view.seed,
            truncation=view.truncation,
            ema=self.ema,
            noise=walks.one_noise(system, view.seed, len(t)),
        )
        pixels = quantise(samples.cpu())
        return Shown(pixels[:1], pixels[1:])

    def _moved(self, view: View) -> Tensor:
        amounts = torch.tensor(view.amounts)
        if not amounts.any():
            return torch.zeros(1)
        found = self.directions(view.along)[view.first : view.first + len(amounts)]
        return directions.deviation(self.generator.prior) * (amounts[: len(found)] @ found)

    def _directions(self, along: str) -> Tensor:
        return directions.FINDERS[along](self.system, 0, self.ema)

    @cached_property
    def data(self) -> DataModule:
        """The data that the model was trained on."""
        return inputs.training_data(self.restored, self.plugins)

    def nearest(self, sample: Tensor) -> Tensor:
        """Return the training image nearest in pixels, uint8 [1, C, H, W].

        Raises:
            UserError: if the data are not on this machine.
        """
        return nearest_training(sample, self.data)

    def encode(self, content: bytes, name: str) -> Tensor:
        """Return the latents [1, Z] of an image file.

        Raises:
            UserError: if the file cannot be used.
        """
        assert isinstance(self.system, Encodes)
        return self.system.encode(self._read(content, name, None), ema=self.ema).cpu()

    def translate(self, content: bytes, name: str, direction: str) -> Image.Image:
        """Return an image file above its translation.

        Raises:
            UserError: if the file cannot be used.
        """
        assert isinstance(self.system, Translates)
        image = self._read(content, name, self.system.directions[direction][0])
        translated = self.system.translate(image, direction, ema=self.ema).cpu()
        return pictures.grid(quantise(rows_of(image, translated).samples), 1)

    def _read(self, content: bytes, name: str, column: str | None) -> Tensor:
        """Return an image file, cropped to the model's size, as float [1, C, H, W] in [-1, 1]."""
        info = self.restored.info
        shape: Any = info.shape if column is None or info.columns is None else info.columns[column]
        channels, height, width = shape
        fitted = Fit(height, width, channels, "crop").image(decode(content, name, channels), name)
        return normalise(torch.from_numpy(fitted.copy())[None])
