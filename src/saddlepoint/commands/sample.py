"""``python sample.py checkpoint=PATH``: samples from a checkpoint, without needing the data, W&B or a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from saddlepoint import writing
from saddlepoint.assembly.restore import find, restore
from saddlepoint.commands import sweep
from saddlepoint.config.directory import config_directory
from saddlepoint.errors import UserError
from saddlepoint.exploring import animations, history, modes
from saddlepoint.exploring.modes import Result
from saddlepoint.export import export
from saddlepoint.metrics.status_line import status_line
from saddlepoint.terminal import say
from saddlepoint.tracking import pictures
from saddlepoint.writing import whole

REMEDY = "set out to a folder that can be written"
ANIMATIONS = {"gif": animations.write_gif, "mp4": animations.write_mp4}


def run(config: DictConfig) -> None:
    """Write samples, arranged by ``mode``, to ``out``; or export networks to ``export``."""
    formats = _check(config)
    if config.mode == "animate":
        frames = history.frames(config.checkpoint)
        out = sweep.own_folder(config.out)
        with writing.folder(out, _names(config, formats), REMEDY), writing.explained(out, REMEDY):
            written = _write_animations(config, formats, out, frames)
        say(f"{len(frames)} pictures of training: " + ", ".join(map(str, written)))
        return
    if config.export is not None:
        export.check_folder(sweep.own_folder(config.export))
    restored = restore(find(config.checkpoint), config.device, config.plugins)
    if config.export is not None:
        folder = sweep.own_folder(config.export)
        with status_line(transient=True) as status:
            status.add_task("exporting", total=None)  # seconds to minutes for ONNX
            files = export.write(restored, folder, config.ema, config.plugins)
        say(f"{folder}: {', '.join(files)}")
        return
    if not restored.info.is_image and (images := [form for form in formats if form not in ("grid", "npz")]):
        raise UserError(f"{images[0]} is for images, and these samples are points", "format", "use grid and npz")
    out = sweep.own_folder(config.out)
    if config.mode == "grid" and config.labels is None and config.inputs is None:  # the number of samples is known
        _check_leftovers(out, formats, config.n)
    with writing.folder(out, _names(config, formats), REMEDY):
        result = modes.make(config, restored)
        _check_leftovers(out, formats, len(result.samples))
        with writing.explained(out, REMEDY):
            written = _write(config, formats, out, result)
    say(
        f"{len(result.samples)} {result.kind} of {restored.about['choices']['model']} after "
        f"{restored.system.progress.images_seen:,} images: " + ", ".join(str(path) for path in written)
    )


def _check(config: DictConfig) -> list[str]:
    """Check the settings of the mode, and return the formats.

    Raises:
        UserError: if they contradict each other.
    """
    defaults: Any = OmegaConf.load(config_directory() / "sample.yaml")
    given = [key for key in sorted({"format", "mode", *modes.SETTINGS}) if config[key] != defaults[key]]
    if config.export is not None and given:
        raise UserError("does not apply to export=DIR", given[0], "leave it out")
    if unused := [key for key in given if key not in ("format", "mode", *modes.READS[config.mode])]:
        raise UserError(f"mode={config.mode} does not use it", unused[0], "leave it out")
    if config.inputs is None and (unused := [key for key in ("direction", "fit") if key in given]):
        raise UserError("applies only to inputs=PATH", unused[0], "add inputs=PATH, or leave it out")
    if config.inputs is not None and (unused := [key for key in ("labels", "truncation", "batchnorm") if key in given]):
        raise UserError("does not apply to inputs=PATH", unused[0], "leave it out")
    formats = [config.format] if isinstance(config.format, str) else list(config.format or ())
    formats = formats or (["gif"] if config.mode == "animate" else ["grid"])
    if config.mode == "animate" and (still := [form for form in formats if form not in ANIMATIONS]):
        raise UserError(f"mode=animate writes animations, not {still[0]}", "format", "choose gif or mp4")
    animated = config.export is None and any(form in ANIMATIONS for form in formats)
    if config.fps != defaults.fps and not animated:
        raise UserError("applies only to gif and mp4", "fps", "leave it out, or set format=gif")
    if "mp4" in formats:
        animations.check_mp4()
    return formats


def _names(config: DictConfig, formats: list[str]) -> Iterator[str]:
    """Yield the names of the files to be written."""
    if "grid" in formats:
        yield "grid.png"
    if "png" in formats:
        yield from (f"{i:06d}.png" for i in range(config.n))
    if "npz" in formats:
        yield "samples.npz"
    yield from (f"samples.{form}" for form in ANIMATIONS if form in formats)


def _check_leftovers(out: Path, formats: list[str], n: int) -> None:
    """Check that the folder will contain no pictures of an earlier run beside n new ones.

    Raises:
        UserError: it would.
    """
    if "png" not in formats:
        return
    kept = sorted(
        file.name
        for file in out.glob("*.png")
        if (file.stem.isdecimal() and int(file.stem) >= n) or (file.name == "grid.png" and "grid" not in formats)
    )
    if kept:
        problem = f"{out} contains {kept[0]} of an earlier run, which would be scored together with these samples"
        raise UserError(problem, "out", "choose another folder, or delete its PNG files")


def _write(config: DictConfig, formats: list[str], out: Path, result: Result) -> list[Path]:
    written, samples = [], result.samples
    if "grid" in formats:
        written.append(out / "grid.png")
        with whole(written[-1]) as file:
            result.picture.save(file, "PNG")
    if "png" in formats:
        for i, image in enumerate(samples):
            with whole(out / f"{i:06d}.png") as file:
                pictures.to_picture(image).save(file, "PNG")
        written.append(out / f"000000.png … {len(samples) - 1:06d}.png")
    if "npz" in formats:
        written.append(out / "samples.npz")
        # uint8 [N, H, W, C] is the layout that other evaluation tools read.
        arrays = {"images": samples.permute(0, 2, 3, 1)} if samples.dim() == 4 else {"points": samples}
        with whole(written[-1]) as file:
            np.savez(file, **{name: tensor.numpy() for name, tensor in {**arrays, **result.arrays}.items()})  # type: ignore[arg-type]
    if any(form in ANIMATIONS for form in formats):
        written += _write_animations(config, formats, out, [animations.frame(image) for image in samples])
    return written


def _write_animations(config: DictConfig, formats: list[str], out: Path, frames: list[Image.Image]) -> list[Path]:
    chosen = [form for form in ANIMATIONS if form in formats]
    for form in chosen:
        ANIMATIONS[form](out / f"samples.{form}", frames, config.fps)
    return [out / f"samples.{form}" for form in chosen]
