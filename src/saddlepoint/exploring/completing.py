"""``mode=complete``: images of which a part is hidden, their completions, and the originals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from omegaconf import DictConfig
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from saddlepoint.assembly.restore import Restored
from saddlepoint.errors import UserError
from saddlepoint.exploring import inputs
from saddlepoint.metrics.status_line import status_line
from saddlepoint.systems.capabilities import Completes

HALVES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "top": lambda y, x: y < 0.5,
    "bottom": lambda y, x: y >= 0.5,
    "left": lambda y, x: x < 0.5,
    "right": lambda y, x: x >= 0.5,
    "centre": lambda y, x: ((y - 0.5).abs() < 0.25) & ((x - 0.5).abs() < 0.25),
}
"""The pixels that are hidden, by the position of their centres in units of the image's height and width."""


def hidden(mask: str, height: int, width: int) -> Tensor:
    """Return which pixels are hidden, bool [H, W].

    Args:
        mask: a key of :data:`HALVES`, or an image file in which the hidden pixels are white, of any size with the
            aspect ratio H : W.
        height: H.
        width: W.

    Raises:
        UserError: if the file cannot be read, has another aspect ratio, or hides no pixel or all of them.
    """
    if mask in HALVES:
        y, x = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij")
        return HALVES[mask](y, x)
    if not Path(mask).is_file():
        problem = f"'{mask}' {'is not a file' if Path(mask).exists() else 'does not exist'}"
        raise UserError(problem, "mask", f"choose {', '.join(HALVES)}, or the path of an image")
    try:
        with Image.open(mask) as image:
            size = image.height, image.width
            gray = image.convert("L").resize((width, height), Image.Resampling.NEAREST)
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        raise UserError(f"'{mask}' is not an image", "mask", "give a black image with white hidden pixels") from None
    if size[0] * width != size[1] * height:
        problem = f"'{mask}' has {size[0]}x{size[1]} px, another aspect ratio than the images' {height}x{width}"
        raise UserError(problem, "mask", f"make it {height}x{width}, or a multiple")
    pixels = torch.tensor(list(gray.tobytes())).view(height, width) >= 128
    if bool(pixels.all()) or not bool(pixels.any()):
        problem = f"'{mask}' hides {'all pixels' if pixels.all() else 'no pixel'}"
        raise UserError(problem, "mask", "paint what is hidden white, and the rest black")
    return pixels


def complete(config: DictConfig, restored: Restored) -> tuple[Tensor, Tensor, Tensor]:
    """Complete the first ``n`` images of ``inputs``, or of the held-out images of the run's data.

    Returns:
        Occluded images, completions and originals, float [N, C, H, W] in [-1, 1].

    Raises:
        UserError: if the model cannot complete images, or the images or the mask cannot be used.
    """
    system = restored.system
    if not isinstance(system, Completes):
        name = restored.about["choices"]["model"]
        raise UserError(f"model={name} does not complete images", "mode", "leave it out")
    _, height, width = restored.info.shape
    missing = hidden(config.mask, height, width)
    if config.inputs is None:
        originals = inputs.held_out(config, restored)
    else:
        originals = inputs.read(config.inputs, config.fit, restored, config.n)
    occluded = torch.where(missing, torch.zeros(()), originals)
    with status_line() as status:
        status.add_task(f"completing {len(originals):,} image{'s' * (len(originals) > 1)}", total=None)
        try:
            completed = system.complete(occluded, ~missing[None, None], seed=config.seed, ema=config.ema).cpu()
        except UserError as error:
            raise error.at("inputs" if error.key == "images" else error.key) from None
    return occluded, completed, originals
