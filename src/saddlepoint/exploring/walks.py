"""Arrangements of samples whose latents are moved: paths between them, and arithmetic with them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from omegaconf import DictConfig
from torch import Tensor

from saddlepoint import randomness, trees
from saddlepoint.assembly.restore import Restored
from saddlepoint.errors import UserError
from saddlepoint.exploring import inputs, noise, paths
from saddlepoint.systems.capabilities import EmbedsLabels, Generates, HasLatents

JITTER = 0.25
"""Range of the uniform noise that is added to the latents of ``mode=arithmetic`` (Radford et al., figure 7)."""


def interpolate(config: DictConfig, restored: Restored) -> tuple[Tensor, int]:
    """Return closed paths; each row leads to the next.

    They are paths through the latents of samples, through encoded ``inputs``, or, with several ``labels``, through the
    embeddings of these classes with the same latents.
    """
    columns = config.columns or 8
    rows = max(2, config.n // columns)
    labels = [] if config.labels is None else noise.classes(config.labels, restored, config.mode)
    if config.inputs is None and len(labels) > 1:
        samples = _between_classes(config, restored, labels, columns)
    elif config.inputs is None:
        system = system_of(restored)
        anchors = latents_of(system, config.seed, rows)
        path: paths.Path = config.path or ("slerp" if system.prior == "normal" else "lerp")
        samples = system.sample(
            rows * columns,
            labels=noise.one_class(config, restored, rows * columns),
            latents=paths.loop(anchors, columns, path),
            seed=config.seed,
            ema=config.ema,
            noise=one_noise(system, config.seed, rows * columns),
        )
    else:
        encoder = inputs.encoder(restored, "inputs")
        images = inputs.read(config.inputs, config.fit, restored, rows)
        if len(images) < 2:
            raise UserError(f"{config.inputs} holds one image", "inputs", "give two or more to interpolate between")
        anchors = encoder.encode(images, ema=config.ema).cpu()
        path = config.path or ("lerp" if getattr(encoder, "prior", "normal") == "uniform" else "slerp")
        samples = encoder.decode(paths.loop(anchors, columns, path), ema=config.ema)
    return samples, columns


def _between_classes(config: DictConfig, restored: Restored, labels: Sequence[int], columns: int) -> Tensor:
    """Return samples of the same latents along the lines between the embeddings of classes."""
    system = system_of(restored)
    if not isinstance(system, EmbedsLabels):
        raise UserError("this model has no embedding of labels", "labels", "give one class")
    anchors = system.embed_labels(torch.tensor(labels), ema=config.ema).cpu()
    condition = paths.loop(anchors, columns, config.path or "lerp")
    z = latents_of(system, config.seed, 1).expand(len(condition), -1)
    return system.sample(len(condition), latents=z, condition=condition, seed=config.seed, ema=config.ema)


def arithmetic(config: DictConfig, restored: Restored) -> tuple[Tensor, int]:
    """Return a - b + c of the mean latents of three rows of samples, followed by samples nearby.

    Radford et al. 2015, arXiv:1511.06434, section 6.3.2. The last column of rows a, b and c is the sample of the mean.
    """
    system = system_of(restored)
    terms = [list(term) for term in config.terms]
    if len(terms) != 3 or len({len(term) for term in terms}) != 1 or not terms[0]:
        raise UserError("needs three lists of equal length", "terms", "give indices, as in [[0,1,2],[3,4,5],[6,7,8]]")
    drawn = latents_of(system, config.seed, max(map(max, terms)) + 1)
    groups = [drawn[term] for term in terms]
    means = [group.mean(0, keepdim=True) for group in groups]
    result = means[0] - means[1] + means[2]
    random = randomness.generator("cpu", config.seed, "arithmetic")
    nearby = result + torch.empty(len(terms[0]), result.shape[1]).uniform_(-JITTER, JITTER, generator=random)
    rows = [torch.cat(parts) for parts in (*zip(groups, means, strict=True), (result, nearby))]
    latents = torch.cat(rows)
    labels = noise.one_class(config, restored, len(latents))
    layers = one_noise(system, config.seed, len(latents))
    samples = system.sample(
        len(latents), labels=labels, latents=latents, seed=config.seed, ema=config.ema, noise=layers
    )
    return samples, len(rows[0])


def generator(restored: Restored) -> Generates:
    """Return the system.

    Raises:
        UserError: if it does not generate samples.
    """
    return noise.generator(restored, "mode", "leave it out, and set inputs to the path of images")


def system_of(restored: Restored) -> HasLatents:
    """Return the system.

    Raises:
        UserError: if it does not generate samples from latents.
    """
    system = generator(restored)
    if not isinstance(system, HasLatents):
        name = restored.about["choices"]["model"]
        raise UserError(f"model={name} has no latents", "mode", "choose grid, nearest or complete")
    return system


def latents_of(system: HasLatents, seed: int, n: int) -> Tensor:
    """Return the latents [n, Z] of the first samples of a seed."""
    found: Tensor = system.draw(seed, 0, n).latents
    return found


def one_noise(system: HasLatents, seed: int, n: int) -> trees.Tree:
    """Return the noise of the first sample n times, so that samples differ only in latents; None without noise."""
    return trees.map_tree(lambda x: x.expand(n, *x.shape[1:]), system.draw(seed, 0, 1).noise)
