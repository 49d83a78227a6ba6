"""Random labels of generated samples, and checks of labels and of the networks' conditioning."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from saddlepoint import randomness
from saddlepoint.errors import UserError


def keyed(shares: Tensor, seed: int, start: int, count: int) -> Tensor:
    """Return labels ``start … start + count - 1`` of the sequence of ``seed``, long [count], on the CPU.

    Args:
        shares: probabilities of the classes, float [K].
        seed: seed of the sequence.
        start: index of the first label.
        count: number of labels.
    """
    edges = shares.cpu().double().cumsum(0)
    edges = edges / edges[-1].clone()

    def draw(n: int, random: torch.Generator) -> Tensor:
        uniform = torch.rand(n, dtype=torch.float64, generator=random)
        return torch.searchsorted(edges, uniform, right=True)  # "right": classes of probability 0 are never drawn

    return randomness.rows(draw, seed, "labels", start, count)


def check(labels: Tensor, num_classes: int) -> None:
    """Check that labels are valid classes of the generator.

    Raises:
        UserError: the generator is unconditional, or a label is outside 0 … K - 1.
    """
    if num_classes == 0:
        raise UserError("labels were given, but the generator is unconditional", "labels", "leave them out")
    low, high = (int(labels.min()), int(labels.max())) if len(labels) else (0, 0)
    if low < 0 or high >= num_classes:
        raise UserError(f"classes are 0 … {num_classes - 1}, got {low} … {high}", "labels")


def check_networks(
    generator: nn.Module, discriminator: nn.Module, classifier_trained: bool, reads: str = "logits"
) -> None:
    """Check that the conditioning of generator and discriminator is compatible.

    Args:
        generator: the generator.
        discriminator: the discriminator.
        classifier_trained: whether a regularizer trains the discriminator's auxiliary classifier.
        reads: the output of D that the loss uses, "logits" or "features".

    Raises:
        UserError: only one of the networks is conditional, D's classifier is not trained, or D's projection of labels
            does not affect the loss.
    """
    of_generator, of_discriminator = conditioning_of(generator), conditioning_of(discriminator)
    if of_discriminator == "auxiliary" and not classifier_trained:
        raise UserError(
            "the discriminator's auxiliary classifier is not trained by any regularizer",
            "discriminator.conditioning",
            "add the regularizer auxiliary_classifier",
        )
    if of_discriminator == "projection" and reads != "logits":
        raise UserError(
            f"projection affects only the discriminator's logits, and the loss depends only on its {reads}",
            "discriminator.conditioning",
            "set it to concat, or choose a loss of logits",
        )
    if of_generator != "none" and of_discriminator == "none":
        raise UserError(
            f"the generator is conditioned on labels ({of_generator}) and the discriminator is not, so the generator "
            "would ignore its labels",
            "discriminator.conditioning",
            "set it to concat, projection or auxiliary",
        )
    if of_generator == "none" and of_discriminator != "none":
        raise UserError(
            f"the discriminator is conditioned on labels ({of_discriminator}) and the generator is not, so generated "
            "samples would not match their labels",
            "generator.conditioning",
            "set it to concat, batchnorm or adain",
        )


def conditioning_of(network: nn.Module) -> str:
    """Return the kind of a network's conditioning.

    It is ``labels.kind``, or else ``conditioning``, or else batch normalization if the network has ``num_classes``.
    """
    own = "batchnorm" if getattr(network, "num_classes", 0) else "none"
    kind: str = getattr(getattr(network, "labels", None), "kind", getattr(network, "conditioning", own))
    return kind


def trains_classifier(regularizers: Mapping[str, nn.Module]) -> bool:
    """Return whether a regularizer of the discriminator trains its auxiliary classifier."""
    return any(
        getattr(part, "trains_classifier", False) and getattr(part, "player", None) == "discriminator"
        for part in regularizers.values()
    )
