"""The law of the labels that samples are asked for, and which networks make use of labels together."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from saddlepoint import randomness
from saddlepoint.errors import UserError


def keyed(shares: Tensor, seed: int, start: int, count: int) -> Tensor:
    """Return labels ``start … start + count - 1`` of the table that ``seed`` names, long [count], on the CPU.

    Args:
        shares: of the classes, float [K], summing to 1.
        seed: the table.
        start: index of the first label.
        count: how many.
    """
    edges = shares.cpu().double().cumsum(0)
    edges = edges / edges[-1].clone()

    def draw(n: int, random: torch.Generator) -> Tensor:
        uniform = torch.rand(n, dtype=torch.float64, generator=random)
        return torch.searchsorted(edges, uniform, right=True)  # a class without a share is never drawn

    return randomness.rows(draw, seed, "labels", start, count)


def check(labels: Tensor, num_classes: int) -> None:
    """Refuse labels that the generator has no class for.

    Raises:
        UserError: it has no classes at all, or labels lie outside 0 … K - 1.
    """
    if num_classes == 0:
        raise UserError("labels were given, but the generator is unconditional", "labels", "leave them out")
    low, high = (int(labels.min()), int(labels.max())) if len(labels) else (0, 0)
    if low < 0 or high >= num_classes:
        raise UserError(f"classes are 0 … {num_classes - 1}, got {low} … {high}", "labels")


def check_networks(
    generator: nn.Module, discriminator: nn.Module, classifier_trained: bool, reads: str = "logits"
) -> None:
    """Refuse networks whose labels would teach nothing.

    Args:
        generator: conditional or not.
        discriminator: conditional or not.
        classifier_trained: whether a regularizer trains the discriminator's auxiliary classifier.
        reads: what the loss reads of D's output.

    Raises:
        UserError: G is told labels that D never sees or the other way round, or D's classifier is trained by nobody.
    """
    of_generator = getattr(getattr(generator, "labels", None), "kind", "none")
    of_discriminator = getattr(getattr(discriminator, "labels", None), "kind", "none")
    if of_discriminator == "auxiliary" and not classifier_trained:
        raise UserError(
            "the discriminator has a classifier that nothing trains",
            "discriminator.conditioning",
            "add the regularizer auxiliary_classifier",
        )
    if of_discriminator == "projection" and reads != "logits":
        raise UserError(
            f"projection puts the label into D's logits, and the loss reads only its {reads}",
            "discriminator.conditioning",
            "set it to concat",
        )
    if of_generator != "none" and of_discriminator == "none":
        raise UserError(
            f"the generator is conditioned on labels ({of_generator}) and the discriminator is not, so G would never "
            "learn what its labels mean",
            "discriminator.conditioning",
            "set it to concat, projection or auxiliary",
        )
    if of_generator == "none" and of_discriminator != "none":
        raise UserError(
            f"the discriminator is conditioned on labels ({of_discriminator}) and the generator is not, so D would "
            "judge fakes by labels that G does not know",
            "generator.conditioning",
            "set it to concat, batchnorm or adain",
        )


def trains_classifier(regularizers: Mapping[str, nn.Module]) -> bool:
    """Whether one of the regularizers trains the discriminator's auxiliary classifier, in the discriminator's turns."""
    return any(
        getattr(part, "trains_classifier", False) and getattr(part, "player", None) == "discriminator"
        for part in regularizers.values()
    )
