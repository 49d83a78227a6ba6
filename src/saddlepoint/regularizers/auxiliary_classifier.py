"""Odena et al. 2017, "Conditional Image Synthesis with Auxiliary Classifier GANs", arXiv:1610.09585."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from saddlepoint.errors import UserError
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.regularizers.base import Regularizer
from saddlepoint.schedules import Weight
from saddlepoint.turns import Turn
from saddlepoint.types import CriticOutput


class AuxiliaryClassifier(Regularizer):
    """The classification loss λ L_C of equation 3, minimized by both players.

    - discriminator: -E log P(C=c | X_real) - E log P(C=c | X_fake)
    - generator: -E log P(C=c | X_fake)

    The discriminator must have an auxiliary classifier (``conditioning.discriminator=auxiliary``). Each player needs
    its own instance. The penalty uses the outputs of the turn, without another forward pass.

    Args:
        weight: λ.
        network: role of the discriminator.
        knobs: see :class:`~saddlepoint.regularizers.base.Regularizer`.
    """

    trains_classifier: ClassVar[bool] = True

    def __init__(self, weight: Weight = 1.0, network: str = "discriminator", **knobs: Any) -> None:
        super().__init__(weight, network=network, **knobs)

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Check that the discriminator has an auxiliary classifier.

        Raises:
            UserError: it has none, or the network does not exist.
        """
        super().check(networks)
        labels = getattr(networks[self.network], "labels", None)
        if getattr(labels, "kind", "none") != "auxiliary":
            raise UserError(
                "AuxiliaryClassifier needs a discriminator with an auxiliary classifier",
                f"{self.network}.conditioning",
                "set it to auxiliary",
            )

    def penalty(self, turn: Turn) -> Tensor:
        """Return λ times the cross-entropies of the player's turn, a scalar >= 0.

        Accuracies are logged as ``class_accuracy_real`` and ``class_accuracy_fake``.

        Raises:
            UserError: the turn has no labels or no class logits.
        """
        seen = ("real", "fake") if self.player == "discriminator" else ("fake",)
        total = turn.loss.new_zeros(())
        for key in seen:
            output = turn.outputs.get(key)
            if turn.labels is None or output is None or output.class_logits is None:
                raise UserError(
                    f"AuxiliaryClassifier needs labels and class logits of {key} samples",
                    None,
                    "choose data with labels",
                )
            total = total + self._cross_entropy(turn, key, output, turn.labels)
        return self.weight * total

    @staticmethod
    def _cross_entropy(turn: Turn, key: str, output: CriticOutput, labels: Tensor) -> Tensor:
        assert output.class_logits is not None
        scores = at_least_float32(output.class_logits)
        turn.logs[f"class_accuracy_{key}"] = (scores.detach().argmax(1) == labels).float().mean()
        return cross_entropy(scores, labels)
