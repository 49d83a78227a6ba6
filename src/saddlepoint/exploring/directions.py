"""Directions in the space of latents along which samples change most."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from saddlepoint.data import DataModule
from saddlepoint.errors import UserError
from saddlepoint.systems.capabilities import Encodes, HasLatents
from saddlepoint.systems.game import Game
from saddlepoint.systems.latents import Prior
from saddlepoint.systems.sampling import evaluating

SAMPLES = 512
"""Number of samples of a principal component analysis."""
ENCODED = 20_000
"""Maximum number of training samples whose codes are averaged for each class."""
AT_ONCE = 250
"""Number of samples that are encoded at a time."""


class _Found(Exception):  # noqa: N818 - not an error
    """Ends a forward pass after the first layer that depends on the latents."""


def sefa(system: Game, ema: bool = True) -> Tensor:
    """Return the eigenvectors of AᵀA in descending order of eigenvalue, where A is the weight of the first layer.

    Shen & Zhou 2021, "Closed-Form Factorization of Latent Semantics in GANs", arXiv:2007.06600, equation 5. A is found
    from the layer's outputs for positive and negative unit vectors, so that it includes any normalization of the weight
    or of the latents, and no bias.

    Returns:
        Float [Z, Z]; rows are unit vectors.

    Raises:
        UserError: the system has no network whose input is a vector of latents.
    """
    export = next((one for one in system.exports(ema).values() if "latents" in one.inputs), None)
    if export is None or export.inputs["latents"].dim() != 2:
        raise UserError("this model has no layer that maps a vector of latents", "along", "set it to pca")
    dim = export.inputs["latents"].shape[1]
    probes = {"latents": torch.cat([torch.eye(dim), -torch.eye(dim)]), "labels": torch.zeros(2 * dim, dtype=torch.long)}
    inputs = [probes[name].to(system.device) for name in export.inputs if name in probes]
    found: list[Tensor] = []

    def compare(module: nn.Module, inputs: Any, output: Tensor) -> None:
        columns = (output[:dim] - output[dim:]).flatten(1).double()  # row i is a multiple of A's column i
        if columns.any():  # not a layer of the labels
            found.append(columns)
            raise _Found

    linear = [module for module in export.network.modules() if isinstance(module, nn.Linear | nn.ConvTranspose2d)]
    hooks = [module.register_forward_hook(compare) for module in linear]
    try:
        with torch.no_grad(), evaluating(export.network), suppress(_Found):
            export.network(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return descending(found[0] @ found[0].T)


def pca(system: HasLatents, seed: int, ema: bool = True) -> Tensor:
    """Return the directions in latents that correspond to the principal components of samples.

    Härkönen et al. 2020, "GANSpace", arXiv:2004.02546, equation 3: the least-squares regression of latents on the
    coordinates of the components. They used features of a layer; this function uses the samples' values, so that it
    applies to any system.

    Args:
        system: a system with latents [N, Z].
        seed: seed of the 512 samples.
        ema: whether to use the averaged weights.

    Returns:
        Float [K, Z], K ≤ min(Z, 511), in descending order of variance; rows are unit vectors.
    """
    z = system.draw(seed, 0, SAMPLES).latents.double()
    x = system.sample(SAMPLES, seed=seed, ema=ema).flatten(1).double().cpu()
    _, singular, components = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    count = min(z.shape[1], SAMPLES - 1, int((singular > 1e-9 * singular[0]).sum()))
    coordinates = (x - x.mean(0)) @ components[:count].T
    directions = torch.linalg.lstsq(coordinates, z - z.mean(0)).solution
    return nn.functional.normalize(directions, dim=1).float()


def axes(system: HasLatents) -> Tensor:
    """Return the axes of the latents, float [Z, Z]."""
    return torch.eye(system.draw(0, 0, 1).latents.shape[1])


def labels(system: Encodes, data: DataModule, ema: bool = True) -> Tensor:
    """Return the direction of each class: the mean code of its training samples minus that of all others.

    Larsen et al. 2016, arXiv:1512.09300, section 4.2, for attributes. The first 20,000 training samples are used.

    Returns:
        Float [K, Z]; rows are unit vectors, of the classes that the samples have, in their order.

    Raises:
        UserError: the data has no labels, or its samples are all of one class.
    """
    classes = data.labels("train")
    if classes is None:
        raise UserError("the data of the run have no labels", "along", "choose sefa, pca or axes")
    size = min(ENCODED, len(classes))
    parts = [data.batch("train", start, min(AT_ONCE, size - start)).samples for start in range(0, size, AT_ONCE)]
    codes = torch.cat([system.encode(samples, ema=ema).cpu() for samples in parts]).double()
    found = classes[:size].unique()
    if len(found) < 2:
        raise UserError("the training samples are all of one class", "along", "choose sefa, pca or axes")
    members = [classes[:size] == label for label in found]
    means = torch.stack([codes[of].mean(0) - codes[~of].mean(0) for of in members])
    return nn.functional.normalize(means, dim=1).float()


def deviation(prior: Prior) -> float:
    """Return the standard deviation of latents."""
    return 1.0 if prior == "normal" else 3**-0.5  # of the uniform distribution on [-1, 1]


def descending(symmetric: Tensor) -> Tensor:
    """Return the eigenvectors of a matrix as rows, in descending order of eigenvalue, with positive largest values."""
    vectors = torch.linalg.eigh(symmetric).eigenvectors.T.flip(0)
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return (vectors * largest.sign()).float().cpu()


FINDERS: Mapping[str, Callable[[Any, int, bool], Tensor]] = {
    "sefa": lambda system, seed, ema: sefa(system, ema),
    "pca": lambda system, seed, ema: pca(system, seed, ema),
    "axes": lambda system, seed, ema: axes(system),
}
