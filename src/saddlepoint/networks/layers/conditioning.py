"""How generators and discriminators use a sample's label."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import instance_norm, one_hot

from saddlepoint.errors import UserError
from saddlepoint.networks.layers.norms import NormKind, absorbs_bias, make_norm
from saddlepoint.networks.layers.precision import at_least_float32, full_precision
from saddlepoint.types import CriticOutput

GeneratorConditioning = Literal["none", "concat", "batchnorm", "adain"]
"""How a generator can use labels."""

DiscriminatorConditioning = Literal["none", "concat", "projection", "auxiliary"]
"""How a discriminator can use labels."""

STYLE_STD = 0.02
"""Of the first weights of AdaIN's affine map: every gain starts near 1, every bias near 0."""


class Conditional(nn.Module):
    """A layer that takes a condition beside its input: ``forward(x, condition)``."""


class ConditionalSequential(nn.Sequential):
    """A sequence of layers that passes the condition to those that are :class:`Conditional`."""

    def forward(self, input: Tensor, condition: Tensor | None = None) -> Tensor:
        """Pass ``input`` through all layers."""
        for layer in self:
            input = conditioned(layer, input, condition)
        return input


def conditioned(layer: nn.Module, x: Tensor, condition: Tensor | None) -> Tensor:
    """Return a layer's output for ``x``, given the condition if the layer is :class:`Conditional`."""
    output: Tensor = layer(x, condition) if isinstance(layer, Conditional) else layer(x)
    return output


class ConditionalBatchNorm(Conditional):
    """Batch normalisation with a gain and a bias a class: y = γ_c (x - μ) / σ + β_c.

    Dumoulin et al. 2017, "A Learned Representation for Artistic Style", arXiv:1610.07629, equation 5, there over the
    pixels of each image; de Vries et al. 2017, "Modulating early visual processing by language", arXiv:1707.00683, over
    the batch, as here. Gains start at 1 and biases at 0.
    """

    def __init__(self, channels: int, num_classes: int, *, images: bool = True) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False) if images else nn.BatchNorm1d(channels, affine=False)
        self.gain = nn.Parameter(torch.ones(num_classes, channels))
        self.bias = nn.Parameter(torch.zeros(num_classes, channels))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Normalise [N, C, H, W] or [N, C] by the batch; ``condition`` is the labels, long [N]."""
        labels = required(condition)
        return _modulate(self.norm(x), self.gain[labels], self.bias[labels])


class AdaIN(Conditional):
    """Adaptive instance normalisation: y = σ(s) (x - μ(x)) / σ(x) + μ(s), μ(x) and σ(x) over each map's pixels.

    Huang & Belongie 2017, arXiv:1703.06868, equation 8. The style's σ(s) and μ(s) are an affine map of a code, learned
    with the network, as in Karras et al. 2019, arXiv:1812.04948, section 2; σ(s) is 1 plus that map.
    """

    def __init__(self, channels: int, style_dim: int) -> None:
        super().__init__()
        self.affine = nn.Linear(style_dim, 2 * channels)
        nn.init.normal_(self.affine.weight, 0.0, STYLE_STD)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Normalise each map of [N, C, H, W]; ``condition`` is the style's code, [N, S]."""
        gain, bias = self.affine(required(condition)).chunk(2, dim=1)
        return _modulate(instance_norm(x), 1 + gain, bias)


class GeneratorLabels(nn.Module):
    """How labels enter a generator.

    - ``none``: not at all.
    - ``concat``: one-hot, joined with the latents (Mirza & Osindero 2014, arXiv:1411.1784, section 3.2).
    - ``batchnorm``: by :class:`ConditionalBatchNorm`, in the place of every norm.
    - ``adain``: by :class:`AdaIN`, in the place of every norm; the style's code is the latents and the one-hot label.

    Attributes:
        num_classes: K, 0 for ``none``.
        inputs: how many values enter the network's first layer.
    """

    def __init__(self, kind: GeneratorConditioning, num_classes: int, latent_dim: int) -> None:
        """Take the kind of conditioning, the data's number of classes, and the latents' dimension Z.

        Raises:
            UserError: there are no classes to be conditioned on.
        """
        super().__init__()
        self.kind, self.latent_dim = kind, latent_dim
        self.num_classes = classes_of(kind, num_classes)
        self.inputs = latent_dim + (self.num_classes if kind == "concat" else 0)

    def make_norm(self, norm: NormKind, channels: int, *, images: bool = True) -> nn.Module:
        """Return the normalisation of a layer: ``norm``, or the conditional one in its place.

        Raises:
            UserError: the normalisation has no meaning for vectors.
        """
        if self.kind == "batchnorm":
            return ConditionalBatchNorm(channels, self.num_classes, images=images)
        if self.kind != "adain":
            return make_norm(norm, channels, images=images)
        if not images:
            raise UserError("adain needs images, and this network is an MLP", "conditioning", "use batchnorm")
        return AdaIN(channels, self.latent_dim + self.num_classes)

    def normalises(self, norm: NormKind) -> bool:
        """Whether layers have a norm."""
        return norm != "none" or self.kind in ("batchnorm", "adain")

    def absorbs_bias(self, norm: NormKind) -> bool:
        """Whether a bias right before the norm has no effect."""
        return absorbs_bias(norm) or self.kind in ("batchnorm", "adain")

    def forward(self, latents: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return the input of the first layer, [N, inputs], and the condition of conditional layers."""
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
    """How labels change a discriminator's output, given its features f and its logit t.

    - ``none``, ``concat`` (joined with the input: :func:`join_labels`): not at all.
    - ``projection``: t + ⟨v_y, f⟩ with an embedding v_y a class (Miyato & Koyama 2018, arXiv:1802.05637, equation 3).
    - ``auxiliary``: class logits by a linear layer (Odena et al. 2017, arXiv:1610.09585, section 3), trained by
      :class:`saddlepoint.regularizers.AuxiliaryClassifier`.

    Attributes:
        planes: how many values a pixel, or a vector, :func:`join_labels` adds to the input.
    """

    def __init__(self, kind: DiscriminatorConditioning, num_classes: int, packing: int = 1) -> None:
        """Take the kind of conditioning, the data's number of classes, and how many samples are judged together.

        Raises:
            UserError: there are no classes, or a pack's samples would need one label.
        """
        super().__init__()
        self.kind = kind
        self.num_classes = classes_of(kind, num_classes)
        self.planes = self.num_classes if kind == "concat" else 0
        if packing > 1 and kind in ("projection", "auxiliary"):
            raise UserError(
                f"packing={packing} judges samples of several classes at once, and '{kind}' needs one label",
                "conditioning",
                "use concat, or judge samples one by one",
            )

    def build(self, features: int) -> None:
        """Make the layer on top of the features, once their number is known."""
        if self.kind == "projection":
            self.embedding = nn.Embedding(self.num_classes, features)
            nn.init.xavier_uniform_(self.embedding.weight)
        elif self.kind == "auxiliary":
            self.classify = nn.Linear(features, self.num_classes)

    def join(self, samples: Tensor, labels: Tensor | None) -> Tensor:
        """Return samples joined with their one-hot labels for ``concat``, else as they are."""
        return join_labels(samples, labels, self.planes) if self.planes else samples

    def forward(self, logits: Tensor, features: Tensor, labels: Tensor | None) -> CriticOutput:
        """Return the output for logits [N], features [N, F] and labels, long [N], in float32."""
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
    """Join one-hot labels with vectors or, as planes of zeros and ones, with images.

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
    """Return the number of classes that a network is conditioned on, 0 for none.

    Raises:
        UserError: it is to be conditioned, and the data has no labels.
    """
    if kind == "none":
        return 0
    if num_classes < 1:
        raise UserError(
            f"'{kind}' needs labels, and this data has none", "conditioning", "use none, or choose data with classes"
        )
    return num_classes


def required(condition: Tensor | None) -> Tensor:
    """Return the condition of a conditional layer.

    Raises:
        UserError: it is None.
    """
    if condition is None:
        raise UserError("this network is conditional, and got no labels", "labels", "pass one for each sample")
    return condition


def _modulate(x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """Return x·gain + bias, gain and bias [N, C], in x's precision."""
    shape = (*gain.shape, *[1] * (x.dim() - 2))
    return torch.addcmul(bias.to(x.dtype).view(shape), x, gain.to(x.dtype).view(shape))
