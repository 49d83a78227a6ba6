"""What every regularizer promises."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from saddlepoint.errors import UserError, did_you_mean
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.parts import Part
from saddlepoint.types import CriticOutput, Turn


class Regularizer(Part):
    """A penalty on a player's turn, or a constraint on its weights after the step, or both.

    A subclass overrides :meth:`penalty` or :meth:`project`. The engine calls ``check`` once before training;
    ``penalty`` every ``interval``-th turn of the player, times ``interval``, so that its mean over turns stays the same
    (lazy regularisation); and ``project`` after each of the player's optimizer steps.

    Attributes:
        player: the role of the network that it concerns ("discriminator", "generator").
        interval: turns of the player from one penalty to the next, >= 1.
        weight: what the penalty is multiplied by.
    """

    def __init__(self, player: str = "discriminator", interval: int = 1, weight: float = 1.0) -> None:
        super().__init__()
        self.player, self.interval, self.weight = player, interval, weight

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Refuse, before training, networks that this regularizer does not suit.

        Raises:
            UserError: no network has the player's name, or its layers do not go with the regularizer.
        """
        super().check(networks)
        if self.player not in networks:
            raise UserError(
                f"{type(self).__name__} names the player '{self.player}', but the networks are "
                f"{', '.join(networks)}{did_you_mean(self.player, networks)}: set regularizer.<name>.player"
            )

    def penalty(self, turn: Turn) -> Tensor:
        """Return a scalar to add to the turn's loss, already times ``weight``; zero unless overridden."""
        return turn.loss.new_zeros(())

    def project(self, networks: Mapping[str, nn.Module]) -> None:
        """Change the player's weights after its step, in place; nothing unless overridden."""
        return

    def extra_repr(self) -> str:
        """Show the player, weight and interval."""
        return f"player={self.player}, weight={self.weight}, interval={self.interval}"


def sample_scores(output: CriticOutput) -> Tensor:
    """Return one score a sample, [N], in float32 or wider: a critic of patches counts as their mean, as in losses."""
    logits = at_least_float32(output.logits)
    return logits.flatten(1).mean(1) if logits.dim() > 1 else logits
