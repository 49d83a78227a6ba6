"""``python sample.py checkpoint=PATH``: samples from a checkpoint alone, without data, W&B or GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from rich.console import Console

from saddlepoint.commands import classes, export
from saddlepoint.commands.check import check_schema
from saddlepoint.commands.restore import find, restore
from saddlepoint.commands.schema import SampleConfig
from saddlepoint.errors import UserError
from saddlepoint.metrics.quantise import quantise
from saddlepoint.tracking import pictures


def run(config: DictConfig) -> None:
    """Write ``n`` samples into ``out``, or the generator itself into ``export``."""
    check_schema(config, SampleConfig)
    if config.truncation == 0:
        raise UserError("truncation=0: all samples would be one; choose a value in (0, 1]")
    if config.export is not None:
        export.check_folder(Path(config.export))
    restored = restore(find(config.checkpoint), config.device, config.plugins)
    if config.export is not None:
        files = export.write(restored, Path(config.export), config.ema, config.plugins)
        Console().print(f"{config.export}: {', '.join(files)}", highlight=False, soft_wrap=True)
        return
    if "png" in config.format and not restored.info.is_image:
        raise UserError("format=png: these samples are points; use format=[grid,npz]")
    out = Path(config.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror}; set out to a folder that can be written") from None
    drawn = classes.draw(config, restored)
    written = _write(config, out, drawn, restored.info.is_image)
    progress = restored.system.progress
    Console().print(
        f"{len(drawn.samples)} samples of {restored.about['choices']['model']} after {progress.images_seen:,} images: "
        + ", ".join(str(path) for path in written),
        highlight=False,
        soft_wrap=True,
    )


def _write(config: DictConfig, out: Path, drawn: classes.Labelled, is_image: bool) -> list[Path]:
    written = []
    samples = quantise(drawn.samples) if is_image else drawn.samples
    if "grid" in config.format:
        written.append(out / "grid.png")
        picture = pictures.grid(samples, drawn.columns) if is_image else pictures.scatter(samples, samples, "samples")
        picture.save(written[-1])
    if "png" in config.format:
        for i, image in enumerate(samples):
            pictures.to_picture(image).save(out / f"{i:06d}.png")
        written.append(out / f"000000.png … {len(samples) - 1:06d}.png")
    if "npz" in config.format:
        written.append(out / "samples.npz")
        # The layout that evaluation tools share: uint8 [N, H, W, C].
        arrays = {"images": samples.permute(0, 2, 3, 1).numpy()} if is_image else {"points": samples.numpy()}
        if drawn.labels is not None:
            arrays["labels"] = drawn.labels.numpy()
        np.savez(written[-1], **arrays)  # type: ignore[arg-type]
    return written
