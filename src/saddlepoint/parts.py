"""What losses, regularizers and augments have in common: parts that a game is put together from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import nn

from saddlepoint.types import Turn


class Part(nn.Module):
    """A part of a game. What it remembers it keeps in buffers, which checkpoints save and a resumed run restores.

    Attributes:
        batch_coupled: the value depends on the whole batch at once, so it may not be split for accumulation.
        needs_real_in_generator: the part wants the critic's output on real samples in the generator's turn too.
    """

    batch_coupled: ClassVar[bool] = False
    needs_real_in_generator: ClassVar[bool] = False

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Refuse, before training, networks that this part does not suit; make buffers that depend on them.

        Raises:
            UserError: with what does not go together, and what to do.
        """
        return

    def observe(self, turn: Turn) -> None:
        """Update the part's state once a player has stepped, under no_grad; nothing unless overridden.

        ``turn.player`` says whose turn it was. What is computed from the batch must be averaged with
        :func:`saddlepoint.ranks.mean`, so that all ranks keep the same state. Scalars that it adds to ``turn.logs`` are
        logged with the turn.
        """
        return
