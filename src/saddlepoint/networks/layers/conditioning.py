"""Conditioning of generators and discriminators on class labels."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import instance_norm, one_hot

from saddlepoint.errors import UserError
from saddlepoint.kinds import DiscriminatorConditioning, GeneratorConditioning, NormKind
from saddlepoint.networks.layers.norms import absorbs_bias, make_norm
from saddlepoint.networks.layers.precision import at_least_float32, full_precision
from saddlepoint.types import CriticOutput

STYLE_STD = 0.02
"""Standard deviation of the initial weights of AdaIN's affine map, so that gains start near 1 and biases near 0."""


class Conditional(nn.Module):
    """Base class of layers that take a condition: ``forward(x, condition)``."""


class ConditionalSequential(nn.Sequential):
    """A sequence of layers in which the condition is passed to those that are :class:`Conditional`."""

    def forward(self, input: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the output of the last layer."""
        for layer in self:
            input = conditioned(layer, input, condition)
        return input


def conditioned(layer: nn.Module, x: Tensor, condition: Tensor | None) -> Tensor:
    """Return a layer's output for ``x``; the condition is passed to it if it is :class:`Conditional`."""
    output: Tensor = layer(x, condition) if isinstance(layer, Conditional) else layer(x)
    return output


class MakesNorms(Protocol):
    """Makes the normalization layers of a generator's blocks."""

    def make_norm(self, norm: NormKind, channels: int) -> nn.Module:
        """Return the normalization layer of kind ``norm``, or a conditional one that replaces it."""


class ConditionalBatchNorm(Conditional):
    """Batch normalization with a gain and a bias per class: y = γ_c (x - μ) / σ + β_c.

    Dumoulin et al. 2017, "A Learned Representation for Artistic Style", arXiv:1610.07629, equation 5, normalize over
    the pixels of each image; de Vries et al. 2017, "Modulating early visual processing by language", arXiv:1707.00683,
    over the batch, as here. Gains are initialized to 1 and biases to 0.
    """

    def __init__(self, channels: int, num_classes: int, *, images: bool = True) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False) if images else nn.BatchNorm1d(channels, affine=False)
        self.gain = nn.Parameter(torch.ones(num_classes, channels))
        self.bias = nn.Parameter(torch.zeros(num_classes, channels))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Normalize [N, C, H, W] or [N, C]; ``condition`` are the labels, long [N]."""
        labels = required(condition)
        return modulate(self.norm(x), self.gain[labels], self.bias[labels])


class AdaIN(Conditional):
    """Adaptive instance normalization: y = σ(s) (x - μ(x)) / σ(x) + μ(s), where μ(x) and σ(x) are over pixels.

    Huang & Belongie 2017, arXiv:1703.06868, equation 8. As in Karras et al. 2019, arXiv:1812.04948, section 2,
    (σ(s) - 1, μ(s)) is a learned affine map of a code.
    """

    def __init__(self, channels: int, style_dim: int) -> None:
        super().__init__()
        self.affine = nn.Linear(style_dim, 2 * channels)
        nn.init.normal_(self.affine.weight, 0.0, STYLE_STD)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Normalize [N, C, H, W]; ``condition`` is the code of the style, [N, S]."""
        gain, bias = self.affine(required(condition)).chunk(2, dim=1)
        return modulate(instance_norm(x), 1 + gain, bias)


class GeneratorLabels(nn.Module):
    """Conditioning of a generator on labels.

    - ``none``: unconditional.
    - ``concat``: one-hot labels are concatenated with latents (Mirza & Osindero 2014, arXiv:1411.1784, section 3.2).
    - ``batchnorm``: :class:`ConditionalBatchNorm` replaces every norm.
    - ``adain``: :class:`AdaIN` replaces every norm; the code is the concatenation of latents and one-hot labels.

    Attributes:
        num_classes: number of classes K, 0 for ``none``.
        inputs: number of input features of the network's first layer.
    """

    def __init__(self, kind: GeneratorConditioning, num_classes: int, latent_dim: int) -> None:
        """Set the kind of conditioning.

        Args:
            kind: kind of conditioning.
            num_classes: number of classes of the data.
            latent_dim: dimension Z of the latents.

        Raises:
            UserError: the network is to be conditional, and the data has no classes.
        """
        super().__init__()
        self.kind, self.latent_dim = kind, latent_dim
        self.num_classes = classes_of(kind, num_classes)
        self.inputs = latent_dim + (self.num_classes if kind == "concat" else 0)

    def make_norm(self, norm: NormKind, channels: int, *, images: bool = True) -> nn.Module:
        """Return the normalization layer of kind ``norm``, or the conditional one that replaces it.

        Raises:
            UserError: the normalization is not defined for vectors.
        """
        if self.kind == "batchnorm":
            return ConditionalBatchNorm(channels, self.num_classes, images=images)
        if self.kind != "adain":
            return make_norm(norm, channels, images=images)
        if not images:
            raise UserError("adain needs images, and this network is an MLP", "conditioning", "use batchnorm")
        return AdaIN(channels, self.latent_dim + self.num_classes)

    def normalises(self, norm: NormKind) -> bool:
        """Return whether layers have a normalization."""
        return norm != "none" or self.kind in ("batchnorm", "adain")

    def absorbs_bias(self, norm: NormKind) -> bool:
        """Return whether the normalization cancels a preceding bias."""
        return absorbs_bias(norm) or self.kind in ("batchnorm", "adain")

    def forward(self, latents: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return the input of the first layer, [N, inputs], and the condition of the conditional layers."""
        if self.kind == "none":
            return latents, None
        if self.kind == "batchnorm":
            return latents, required(labels)
        joint = join_labels(latents, labels, self.num_classes)
        return (joint, None) if self.kind == "concat" else (latents, joint)

    def extra_repr(self) -> str:
        """Show the kind and the number of classes."""
        return f"{self.kind}, num_classes={self.num_classes}"


class CriticLabels(nn.Module):
    """Conditioning of a discriminator, with features f and logit t, on labels.

    - ``none``: unconditional.
    - ``concat``: one-hot labels are concatenated with the input, see :func:`join_labels`.
    - ``projection``: the logit is t + ⟨v_y, f⟩ with an embedding v_y of each class (Miyato & Koyama 2018,
      arXiv:1802.05637, equation 3).
    - ``auxiliary``: a linear layer on f returns class logits (Odena et al. 2017, arXiv:1610.09585, section 3), trained
      by :class:`saddlepoint.regularizers.AuxiliaryClassifier`.

    Attributes:
        planes: number of channels, or features of vectors, that :func:`join_labels` adds to the input.
    """

    def __init__(self, kind: DiscriminatorConditioning, num_classes: int, packing: int = 1) -> None:
        """Set the kind of conditioning.

        Args:
            kind: kind of conditioning.
            num_classes: number of classes of the data.
            packing: number of samples per input of the discriminator.

        Raises:
            UserError: the data has no classes, or the kind does not support packing.
        """
        super().__init__()
        self.kind = kind
        self.num_classes = classes_of(kind, num_classes)
        self.planes = self.num_classes if kind == "concat" else 0
        if packing > 1 and kind in ("projection", "auxiliary"):
            raise UserError(
                f"'{kind}' needs one label per logit, and packing={packing} joins samples of several classes",
                "conditioning",
                "use concat, or set packing to 1",
            )

    def build(self, features: int) -> None:
        """Create the layer on top of the features; called when their number is known."""
        if self.kind == "projection":
            self.embedding = nn.Embedding(self.num_classes, features)
            nn.init.xavier_uniform_(self.embedding.weight)
        elif self.kind == "auxiliary":
            self.classify = nn.Linear(features, self.num_classes)

    def join(self, samples: Tensor, labels: Tensor | None) -> Tensor:
        """Return samples concatenated with their one-hot labels for ``concat``, else unchanged."""
        return join_labels(samples, labels, self.planes) if self.planes else samples

    def forward(self, logits: Tensor, features: Tensor, labels: Tensor | None) -> CriticOutput:
        """Return the discriminator's output from logits [N], features [N, F] and labels, long [N]."""
        if self.kind not in ("projection", "auxiliary"):
            return CriticOutput(logits, features)
        with full_precision(features.device):
            wide = at_least_float32(features)
            if self.kind == "auxiliary":
                return CriticOutput(logits, features, self.classify(wide))
            return CriticOutput(logits + (self.embedding(required(labels)) * wide).sum(1), features)

    def extra_repr(self) -> str:
        """Show the kind and the number of classes."""
        return f"{self.kind}, num_classes={self.num_classes}"


def join_labels(x: Tensor, labels: Tensor | None, num_classes: int) -> Tensor:
    """Return vectors or images concatenated with one-hot labels, which are constant channels of images.

    Args:
        x: [N, D] or [N, C, H, W].
        labels: long [N].
        num_classes: K.

    Returns:
        [N, D + K] or [N, C + K, H, W].
    """
    codes = one_hot(required(labels), num_classes).to(x.dtype)
    return torch.cat([x, codes[(..., *[None] * (x.dim() - 2))].expand(-1, -1, *x.shape[2:])], dim=1)


def classes_of(kind: str, num_classes: int) -> int:
    """Return the number of classes that a network is conditioned on, 0 for ``none``.

    Raises:
        UserError: the network is to be conditional, and the data has no labels.
    """
    if kind == "none":
        return 0
    if num_classes < 1:
        raise UserError(
            f"'{kind}' needs labels, and the data has none", "conditioning", "use none, or choose data with labels"
        )
    return num_classes


def required(condition: Tensor | None) -> Tensor:
    """Return the condition after checking that it is not None.

    Raises:
        UserError: it is None.
    """
    if condition is None:
        raise UserError("this network is conditional and got no labels", "labels", "pass one for each sample")
    return condition


def modulate(x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """Return x·gain + bias in the precision of ``x``; gain and bias are [N, C]."""
    shape = (*gain.shape, *[1] * (x.dim() - 2))
    return torch.addcmul(bias.to(x.dtype).view(shape), x, gain.to(x.dtype).view(shape))
