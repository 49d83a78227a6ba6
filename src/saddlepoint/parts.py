"""What losses, regularizers and augments have in common: parts that a game is put together from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Protocol

from torch import nn

from saddlepoint.errors import UserError
from saddlepoint.turns import Turn


class Objective(Protocol):
    """What other parts ask of a loss.

    Attributes:
        reads: what it reads of the critic's output; nothing trains the other.
        undecided: the score of a sample that the critic cannot tell, or None where that is any.
    """

    reads: Literal["logits", "features"]
    undecided: float | None


class Part(nn.Module):
    """A part of a game. What it remembers it keeps in buffers, which checkpoints save and a resumed run restores.

    Attributes:
        batch_coupled: the value depends on the whole batch at once, so it may not be split for accumulation.
        needs_real_in_generator: the part wants the critic's output on real samples in the generator's turn too.
        acts_on_logits: the part means the critic's logits, and nothing beside a loss that does not read them.
    """

    batch_coupled: ClassVar[bool] = False
    needs_real_in_generator: ClassVar[bool] = False
    acts_on_logits: bool = False

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Refuse, before training, networks that this part does not suit; make buffers that depend on them.

        Raises:
            UserError: with what does not go together, and what to do.
        """
        return

    def check_loss(self, loss: Objective) -> None:
        """Refuse, before training, an objective that this part does not suit.

        Raises:
            UserError: with what does not go together, and what to do.
        """
        if self.acts_on_logits and loss.reads != "logits":
            raise UserError(
                f"{type(self).__name__} acts on the critic's logits, and {type(loss).__name__} reads only its features",
                None,
                "leave it out, or use MMDGradientPenalty",
            )

    def observe(self, turn: Turn) -> None:
        """Update the part's state once a player has stepped, under no_grad; nothing unless overridden.

        ``turn.players`` says whose turn it was. What is computed from the batch must be averaged with
        :func:`saddlepoint.ranks.mean`, so that all ranks keep the same state. Scalars that it adds to ``turn.logs`` are
        logged with the turn.
        """
        return
