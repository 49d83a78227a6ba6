"""Batch normalization that depends on a vector: BigGAN's conditioning on labels and latents."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.kinds import GeneratorConditioning, NormKind
from saddlepoint.networks.layers.conditioning import (
    Conditional,
    GeneratorLabels,
    MakesNorms,
    classes_of,
    modulate,
    required,
)


class VectorBatchNorm(Conditional):
    """Batch normalization whose gains and biases are linear functions of a vector c: y = (1 + W_γ c)(x - μ)/σ + W_β c.

    Brock et al. 2019, arXiv:1809.11096, appendix B, where c is an embedding of the label and a part of the latents.
    """

    def __init__(self, channels: int, condition_dim: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Linear(condition_dim, channels, bias=False)
        self.bias = nn.Linear(condition_dim, channels, bias=False)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Normalize [N, C, H, W]; ``condition`` is c, [N, condition_dim]."""
        c = required(condition)
        return modulate(self.norm(x), 1 + self.gain(c), self.bias(c))


class VectorNorms:
    """Makes batch normalizations whose gains and biases are linear functions of a vector."""

    def __init__(self, condition_dim: int) -> None:
        self.condition_dim = condition_dim

    def make_norm(self, norm: NormKind, channels: int) -> Conditional:
        """Return a :class:`VectorBatchNorm`."""
        return VectorBatchNorm(channels, self.condition_dim)


def make_norms(num_classes: int, embedding_dim: int, latents: int) -> MakesNorms | None:
    """Return what makes the norms of a generator's blocks; None if they are unconditional.

    Args:
        num_classes: number of classes; 0 for an unconditional generator.
        embedding_dim: dimension of the shared embedding; 0 if there is none.
        latents: dimension of the part of the latents that the norms depend on; 0 if they do not.

    Raises:
        UserError: the norms are to depend on latents and have a table of the classes.
    """
    if num_classes and not embedding_dim:
        if latents:
            raise UserError(
                "hierarchical latents need a shared embedding of the labels",
                "hierarchical",
                "set it to false, or set network.generator.shared_embedding=true",
            )
        return GeneratorLabels("batchnorm", num_classes, latents)
    return VectorNorms(embedding_dim + latents) if embedding_dim + latents else None


def conditional_classes(conditioning: GeneratorConditioning, num_classes: int) -> int:
    """Return the number of classes that the generator is conditioned on, 0 for ``none``.

    Raises:
        UserError: the kind of conditioning is not supported, or the data has no labels.
    """
    if conditioning not in ("none", "batchnorm"):
        raise UserError(
            f"BigGAN's generator does not support '{conditioning}'",
            "conditioning",
            "choose batchnorm or none: conditioning=projection, batchnorm or none",
        )
    return classes_of(conditioning, num_classes)


def joined(*vectors: Tensor | None) -> Tensor | None:
    """Return vectors [N, D_i] concatenated along the second dimension; None is left out."""
    given = [vector for vector in vectors if vector is not None]
    return torch.cat(given, 1) if len(given) > 1 else next(iter(given), None)
