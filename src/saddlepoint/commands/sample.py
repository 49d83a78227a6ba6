"""``python sample.py checkpoint=PATH``: samples from a checkpoint, without needing the data, W&B or a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from omegaconf import DictConfig
from PIL import Image
from rich.console import Console
from torch import Tensor

from saddlepoint import writing
from saddlepoint.assembly.restore import Restored, find, restore
from saddlepoint.commands import classes, inputs, sweep
from saddlepoint.config.schema import SampleConfig
from saddlepoint.config.strict import check_schema
from saddlepoint.errors import UserError
from saddlepoint.export import export
from saddlepoint.metrics.quantise import quantise
from saddlepoint.tracking import pictures
from saddlepoint.writing import whole

REMEDY = "set out to a folder that can be written"


def run(config: DictConfig) -> None:
    """Write samples, or translations or reconstructions of ``inputs``, to ``out``; or export networks to ``export``."""
    check_schema(config, SampleConfig)
    if config.truncation == 0:
        raise UserError("0 makes all samples identical", "truncation", "choose a value in (0, 1]")
    if config.export is not None:
        export.check_folder(sweep.own_folder(config.export))
    restored = restore(find(config.checkpoint), config.device, config.plugins)
    if config.export is not None:
        folder = sweep.own_folder(config.export)
        files = export.write(restored, folder, config.ema, config.plugins)
        Console().print(f"{folder}: {', '.join(files)}", highlight=False, soft_wrap=True)
        return
    if "png" in config.format and not restored.info.is_image:
        raise UserError("png is for images, and these samples are points", "format", "use grid and npz")
    out = sweep.own_folder(config.out)
    with writing.folder(out, _names(config), REMEDY):
        result = _sampled(config, restored) if config.inputs is None else _made(config, restored)
        with writing.explained(out, REMEDY):
            written = _write(config, out, result)
    Console().print(
        f"{len(result.samples)} {result.kind} of {restored.about['choices']['model']} after "
        f"{restored.system.progress.images_seen:,} images: " + ", ".join(str(path) for path in written),
        highlight=False,
        soft_wrap=True,
    )


class Result(NamedTuple):
    """Samples to be written.

    Attributes:
        kind: a plural noun for the closing message, such as ``translations``.
        samples: images, uint8 [N, C, H, W], or points, float [N, D].
        picture: a grid of the images, or a scatter plot of the points.
        arrays: additional arrays of the ``.npz`` file.
    """

    kind: str
    samples: Tensor
    picture: Image.Image
    arrays: dict[str, Tensor]


def _sampled(config: DictConfig, restored: Restored) -> Result:
    if given := [key for key in ("direction", "fit") if config[key] is not None]:
        raise UserError("it is for images to translate or reconstruct", given[0], "add inputs=PATH, or leave it out")
    drawn = classes.draw(config, restored)
    _check_finite(drawn.samples, restored)
    labels = {} if drawn.labels is None else {"labels": drawn.labels}
    if not restored.info.is_image:
        return Result("samples", drawn.samples, pictures.scatter(drawn.samples, drawn.samples, "samples"), labels)
    samples = quantise(drawn.samples)
    return Result("samples", samples, pictures.grid(samples, drawn.columns), labels)


def _made(config: DictConfig, restored: Restored) -> Result:
    made = inputs.make(config, restored)
    _check_finite(made.outputs, restored)
    picture = made.picture(config.columns)
    codes = {} if made.codes is None else {"codes": made.codes}
    return Result(
        "translations" if made.codes is None else "reconstructions",
        quantise(made.outputs),
        pictures.grid(quantise(picture.samples), picture.columns),
        {"inputs": quantise(made.inputs).permute(0, 2, 3, 1), **codes},
    )


def _check_finite(samples: Tensor, restored: Restored) -> None:
    if not torch.isfinite(samples).all():
        raise UserError(
            f"samples of {restored.path} contain NaN or infinite values: the generator has diverged",
            "checkpoint",
            "choose an earlier checkpoint",
        )


def _names(config: DictConfig) -> Iterator[str]:
    """Yield the names of the files to be written."""
    if "grid" in config.format:
        yield "grid.png"
    if "png" in config.format:
        yield from (f"{i:06d}.png" for i in range(config.n))
    if "npz" in config.format:
        yield "samples.npz"


def _write(config: DictConfig, out: Path, result: Result) -> list[Path]:
    written, samples = [], result.samples
    if "grid" in config.format:
        written.append(out / "grid.png")
        with whole(written[-1]) as file:
            result.picture.save(file, "PNG")
    if "png" in config.format:
        for i, image in enumerate(samples):
            with whole(out / f"{i:06d}.png") as file:
                pictures.to_picture(image).save(file, "PNG")
        written.append(out / f"000000.png … {len(samples) - 1:06d}.png")
    if "npz" in config.format:
        written.append(out / "samples.npz")
        # uint8 [N, H, W, C] is the layout that other evaluation tools read.
        arrays = {"images": samples.permute(0, 2, 3, 1)} if samples.dim() == 4 else {"points": samples}
        with whole(written[-1]) as file:
            np.savez(file, **{name: tensor.numpy() for name, tensor in {**arrays, **result.arrays}.items()})  # type: ignore[arg-type]
    return written
