"""``python sample.py checkpoint=PATH``: samples from a checkpoint alone, without data, W&B or GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from rich.console import Console
from torch import Tensor

from saddlepoint.commands.check import check_schema
from saddlepoint.commands.restore import find, restore
from saddlepoint.commands.schema import SampleConfig
from saddlepoint.errors import UserError
from saddlepoint.metrics.quantise import quantise
from saddlepoint.tracking import pictures


def run(config: DictConfig) -> None:
    """Write ``n`` samples into ``out``."""
    check_schema(config, SampleConfig)
    if config.truncation == 0:
        raise UserError("truncation=0: all samples would be one; choose a value in (0, 1]")
    restored = restore(find(config.checkpoint), config.device, config.plugins)
    if "png" in config.format and not restored.info.is_image:
        raise UserError("format=png: these samples are points; use format=[grid,npz]")
    out = Path(config.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror}; set out to a folder that can be written") from None
    samples = restored.system.sample(
        config.n, seed=config.seed, truncation=float(config.truncation), ema=config.ema
    ).cpu()
    written = _write(config, out, quantise(samples) if restored.info.is_image else samples, restored.info.is_image)
    progress = restored.system.progress
    Console().print(
        f"{config.n} samples of {restored.about['choices']['model']} after {progress.images_seen:,} images: "
        + ", ".join(str(path) for path in written),
        highlight=False,
        soft_wrap=True,
    )


def _write(config: DictConfig, out: Path, samples: Tensor, is_image: bool) -> list[Path]:
    written = []
    if "grid" in config.format:
        written.append(out / "grid.png")
        picture = pictures.grid(samples, config.columns) if is_image else pictures.scatter(samples, samples, "samples")
        picture.save(written[-1])
    if "png" in config.format:
        for i, image in enumerate(samples):
            pictures.to_picture(image).save(out / f"{i:06d}.png")
        written.append(out / f"000000.png … {len(samples) - 1:06d}.png")
    if "npz" in config.format:
        written.append(out / "samples.npz")
        # The layout that evaluation tools share: uint8 [N, H, W, C].
        if is_image:
            np.savez(written[-1], images=samples.permute(0, 2, 3, 1).numpy())
        else:
            np.savez(written[-1], points=samples.numpy())
    return written
