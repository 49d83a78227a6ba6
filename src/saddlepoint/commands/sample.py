"""``python sample.py checkpoint=PATH``: samples from a checkpoint alone, without data, W&B or GPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from rich.console import Console

from saddlepoint.commands import classes, export, sweep, writing
from saddlepoint.commands.check import check_schema
from saddlepoint.commands.restore import find, restore
from saddlepoint.commands.schema import SampleConfig
from saddlepoint.errors import UserError
from saddlepoint.metrics.quantise import quantise
from saddlepoint.tracking import pictures
from saddlepoint.tracking.run_directory import whole

REMEDY = "set out to a folder that can be written"


def run(config: DictConfig) -> None:
    """Write ``n`` samples into ``out``, or the generator itself into ``export``."""
    check_schema(config, SampleConfig)
    if config.truncation == 0:
        raise UserError("truncation=0: all samples would be one; choose a value in (0, 1]")
    if config.export is not None:
        export.check_folder(sweep.own_folder(config.export))
    restored = restore(find(config.checkpoint), config.device, config.plugins)
    if config.export is not None:
        folder = sweep.own_folder(config.export)
        files = export.write(restored, folder, config.ema, config.plugins)
        Console().print(f"{folder}: {', '.join(files)}", highlight=False, soft_wrap=True)
        return
    if "png" in config.format and not restored.info.is_image:
        raise UserError("format=png: these samples are points; use format=[grid,npz]")
    out = sweep.own_folder(config.out)
    with writing.folder(out, _names(config), REMEDY):
        drawn = classes.draw(config, restored)
        if not torch.isfinite(drawn.samples).all():
            raise UserError(
                f"checkpoint {restored.path}: samples hold NaN or infinite values: the generator has diverged; "
                "choose an earlier checkpoint"
            )
        with writing.explained(out, REMEDY):
            written = _write(config, out, drawn, restored.info.is_image)
    progress = restored.system.progress
    Console().print(
        f"{len(drawn.samples)} samples of {restored.about['choices']['model']} after {progress.images_seen:,} images: "
        + ", ".join(str(path) for path in written),
        highlight=False,
        soft_wrap=True,
    )


def _names(config: DictConfig) -> Iterator[str]:
    """Yield the names of the files to be written."""
    if "grid" in config.format:
        yield "grid.png"
    if "png" in config.format:
        yield from (f"{i:06d}.png" for i in range(config.n))
    if "npz" in config.format:
        yield "samples.npz"


def _write(config: DictConfig, out: Path, drawn: classes.Labelled, is_image: bool) -> list[Path]:
    written = []
    samples = quantise(drawn.samples) if is_image else drawn.samples
    if "grid" in config.format:
        written.append(out / "grid.png")
        picture = pictures.grid(samples, drawn.columns) if is_image else pictures.scatter(samples, samples, "samples")
        with whole(written[-1]) as file:
            picture.save(file, "PNG")
    if "png" in config.format:
        for i, image in enumerate(samples):
            with whole(out / f"{i:06d}.png") as file:
                pictures.to_picture(image).save(file, "PNG")
        written.append(out / f"000000.png … {len(samples) - 1:06d}.png")
    if "npz" in config.format:
        written.append(out / "samples.npz")
        # The layout that evaluation tools share: uint8 [N, H, W, C].
        arrays = {"images": samples.permute(0, 2, 3, 1).numpy()} if is_image else {"points": samples.numpy()}
        if drawn.labels is not None:
            arrays["labels"] = drawn.labels.numpy()
        with whole(written[-1]) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
    return written
