"""The modes of ``sample.py``: arrangements of samples that show what a model has learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor

from saddlepoint.assembly.restore import Restored
from saddlepoint.errors import UserError
from saddlepoint.evaluation.drawing import Drawing
from saddlepoint.evaluation.pictures import nearest_training
from saddlepoint.exploring import completing, directions, inputs, noise, styles, walks
from saddlepoint.metrics.quantise import quantise
from saddlepoint.systems.capabilities import HasStyles, Traverses, rows_of
from saddlepoint.tracking import pictures

TRUNCATIONS = (1.0, 0.8, 0.6, 0.4, 0.2)
"""The truncations of the rows of ``mode=truncation``."""
REACH = 3.0
"""Latents are moved along directions by up to this number of standard deviations of the prior."""


@dataclass(frozen=True)
class Result:
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
    arrays: Mapping[str, Tensor] = field(default_factory=dict)


def grid(config: DictConfig, restored: Restored) -> Result:
    """Return samples from noise; or translations or reconstructions of ``inputs``."""
    if config.inputs is not None:
        return _result_of(config, restored, inputs.make(config, restored))
    drawn = noise.draw(config, restored)
    _check_finite(drawn.samples, restored)
    labels = {} if drawn.labels is None else {"labels": drawn.labels}
    if not restored.info.is_image:
        return Result("samples", drawn.samples, pictures.scatter(drawn.samples, None, "samples"), labels)
    return _images("samples", drawn.samples, drawn.columns, labels)


def reconstruct(config: DictConfig, restored: Restored) -> Result:
    """Return reconstructions of ``inputs``, or of held-out images, below them."""
    return _result_of(config, restored, inputs.reconstructed(config, restored))


def interpolate(config: DictConfig, restored: Restored) -> Result:
    """Return closed paths between samples, images or classes; each row leads to the next."""
    return _checked("interpolated samples", *walks.interpolate(config, restored), restored)


def arithmetic(config: DictConfig, restored: Restored) -> Result:
    """Return a - b + c of the mean latents of three rows of samples, followed by samples nearby."""
    return _checked("samples", *walks.arithmetic(config, restored), restored)


def truncation(config: DictConfig, restored: Restored) -> Result:
    """Return samples with stronger truncation of the latents in each row; a column has the same latents before."""
    system = walks.system_of(restored)
    columns = config.columns or max(1, config.n // len(TRUNCATIONS))
    labels = None if config.labels is None else noise.one_class(config, restored, columns)
    rows = []
    for t in TRUNCATIONS:
        with Drawing(t, config.batchnorm).statistics(restored.system, config.seed, config.ema):
            rows.append(system.sample(columns, labels=labels, seed=config.seed, truncation=t, ema=config.ema))
    return _checked("samples", torch.cat(rows), columns, restored)


def nearest(config: DictConfig, restored: Restored) -> Result:
    """Return samples above the training images that are nearest to them in pixels."""
    walks.generator(restored)
    drawn = noise.draw(config, restored)
    _check_finite(drawn.samples, restored)
    samples = quantise(drawn.samples)
    found = nearest_training(samples, inputs.training_data(restored, config.plugins))
    picture = rows_of(samples, found, columns=config.columns or 10)
    return Result("samples", samples, pictures.grid(picture.samples, picture.columns), {"nearest": _last(found)})


def traverse(config: DictConfig, restored: Restored) -> Result:
    """Return samples along one direction in each row: of codes, by SeFa, of components, of axes, or of classes."""
    system = walks.system_of(restored)
    columns = config.columns or 10
    rows = max(1, config.n // columns)
    along = config.along or ("codes" if isinstance(restored.system, Traverses) else "sefa")
    if along == "codes":
        if not isinstance(restored.system, Traverses):
            raise UserError("this model has no codes", "along", "choose sefa, pca or axes")
        if config.labels is not None:
            raise UserError("along=codes does not use it", "labels", "leave it out")
        each = max(1, rows // restored.system.traversable)
        parts = [
            restored.system.traverse(index, each, columns, config.seed, config.ema)
            for index in range(restored.system.traversable)
        ]
        return _checked("samples", torch.cat(parts), columns, restored)
    if isinstance(system, HasStyles) and along in ("sefa", "pca") and config.labels is None:
        return _checked("samples", styles.traverse(config, restored, along, rows, columns, REACH), columns, restored)
    origin = walks.latents_of(system, config.seed, 1)
    if along == "labels":
        found = directions.labels(
            inputs.encoder(restored, "along"), inputs.training_data(restored, config.plugins), config.ema
        )[:rows]
    else:
        found = directions.FINDERS[along](restored.system, config.seed, config.ema)[:rows]
    reach = REACH * directions.deviation(system.prior)
    latents = (origin + torch.linspace(-reach, reach, columns).view(-1, 1) * found.unsqueeze(1)).flatten(0, 1)
    labels = noise.one_class(config, restored, len(latents))
    layers = walks.one_noise(system, config.seed, len(latents))
    samples = system.sample(
        len(latents), labels=labels, latents=latents, seed=config.seed, ema=config.ema, noise=layers
    )
    return _checked("samples", samples, columns, restored)


def mix(config: DictConfig, restored: Restored) -> Result:
    """Return samples with the coarse styles of the sample on the left and the fine styles of the sample above."""
    mixed = styles.mix(config, restored)
    _check_finite(mixed.samples, restored)
    arrays = {"coarse": _last(quantise(mixed.coarse)), "fine": _last(quantise(mixed.fine))}
    picture = pictures.grid(quantise(mixed.picture()), 1 + len(mixed.fine))
    return Result("mixed samples", quantise(mixed.samples), picture, arrays)


def project(config: DictConfig, restored: Restored) -> Result:
    """Return images whose styles are fitted to ``inputs``, or to held-out images, below them."""
    return replace(_result_of(config, restored, styles.project(config, restored)), kind="projections")


def complete(config: DictConfig, restored: Restored) -> Result:
    """Return completions of ``inputs``, or of held-out images, below what was known of them and above the originals."""
    occluded, completed, originals = completing.complete(config, restored)
    _check_finite(completed, restored)
    rows = (quantise(images) for images in (occluded, completed, originals))
    picture = rows_of(*rows, columns=config.columns or 10)
    arrays = {"inputs": _last(quantise(originals)), "occluded": _last(quantise(occluded))}
    return Result("completions", quantise(completed), pictures.grid(picture.samples, picture.columns), arrays)


MODES: Mapping[str, Callable[[DictConfig, Restored], Result]] = {
    "grid": grid,
    "classes": grid,
    "interpolate": interpolate,
    "arithmetic": arithmetic,
    "truncation": truncation,
    "nearest": nearest,
    "traverse": traverse,
    "reconstruct": reconstruct,
    "mix": mix,
    "project": project,
    "complete": complete,
}
READS = {
    "grid": ("n", "columns", "seed", "labels", "inputs", "direction", "fit", "truncation", "batchnorm"),
    "classes": ("n", "columns", "seed", "truncation", "batchnorm"),
    "interpolate": ("n", "columns", "seed", "labels", "inputs", "fit", "path", "batchnorm"),
    "arithmetic": ("seed", "labels", "terms", "batchnorm"),
    "truncation": ("n", "columns", "seed", "labels", "batchnorm"),
    "nearest": ("n", "columns", "seed", "labels", "truncation", "batchnorm"),
    "traverse": ("n", "columns", "seed", "labels", "along", "batchnorm"),
    "reconstruct": ("n", "columns", "seed", "inputs", "fit"),
    "mix": ("n", "columns", "seed", "truncation", "cut"),
    "project": ("n", "columns", "seed", "inputs", "fit"),
    "complete": ("n", "columns", "seed", "inputs", "fit", "mask"),
    "animate": (),
}
"""The settings that each mode reads, besides those that all read."""
SETTINGS = {key for keys in READS.values() for key in keys}


def make(config: DictConfig, restored: Restored) -> Result:
    """Return the samples of ``config.mode``.

    Raises:
        UserError: if the model does not have this mode, or a setting is invalid.
    """
    if config.mode != "grid" and not restored.info.is_image:
        raise UserError(f"{config.mode} is for images, and these samples are points", "mode", "set it to grid")
    if config.batchnorm == "running" or config.mode == "truncation":  # each of its rows has statistics of its own
        return MODES[config.mode](config, restored)
    drawing = Drawing(config.truncation, config.batchnorm)
    drawing.check(restored.system)
    with drawing.statistics(restored.system, config.seed, config.ema):
        return MODES[config.mode](config, restored)


def _images(kind: str, samples: Tensor, columns: int | None, arrays: Mapping[str, Tensor]) -> Result:
    pixels = quantise(samples)
    return Result(kind, pixels, pictures.grid(pixels, columns), arrays)


def _checked(kind: str, samples: Tensor, columns: int, restored: Restored) -> Result:
    _check_finite(samples, restored)
    return _images(kind, samples.cpu(), columns, {})


def _result_of(config: DictConfig, restored: Restored, made: inputs.Made) -> Result:
    _check_finite(made.outputs, restored)
    picture = made.picture(config.columns)
    codes = {} if made.codes is None else {"codes": made.codes}
    return Result(
        "translations" if made.codes is None else "reconstructions",
        quantise(made.outputs),
        pictures.grid(quantise(picture.samples), picture.columns),
        {"inputs": _last(quantise(made.inputs)), **codes},
    )


def _last(images: Tensor) -> Tensor:
    """Return images [N, C, H, W] as [N, H, W, C], the layout of ``.npz`` files."""
    return images.permute(0, 2, 3, 1)


def _check_finite(samples: Tensor, restored: Restored) -> None:
    if not torch.isfinite(samples).all():
        raise UserError(
            f"samples of {restored.path} contain NaN or infinite values: the generator has diverged",
            "checkpoint",
            "choose an earlier checkpoint",
        )
