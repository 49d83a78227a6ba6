"""Base class of losses, regularizers and augments, the parts of a system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Protocol

from torch import nn

from saddlepoint.errors import UserError
from saddlepoint.schedules import Ramp
from saddlepoint.turns import Turn


class Objective(Protocol):
    """The attributes of a loss that other parts use.

    Attributes:
        reads: the part of the critic's output that the loss uses.
        undecided: the optimal critic's score where p_data = p_g; None if it is not unique.
    """

    reads: Literal["logits", "features"]
    undecided: float | None


class Part(nn.Module):
    """Base class of losses, regularizers and augments. State is kept in buffers, which checkpoints save.

    Attributes:
        batch_coupled: whether the part depends on the whole batch at once, which excludes gradient accumulation.
        needs_real_in_generator: whether the part needs the critic's output on real samples in the generator's turn.
        acts_on_logits: whether the part uses the critic's logits, so that the loss must use them as well.
        ramps: attributes that are set to the values of ramps before each turn.
    """

    batch_coupled: ClassVar[bool] = False
    needs_real_in_generator: ClassVar[bool] = False
    acts_on_logits: bool = False

    def __init__(self) -> None:  # without the *args of nn.Module, so that unknown arguments in a config are errors
        super().__init__()
        self.ramps: dict[str, Ramp] = {}

    def initial(self, name: str, value: float | Ramp) -> float:
        """Return the initial value of an attribute; that of a ramp is then set before each turn."""
        if not isinstance(value, Ramp):
            return value
        self.ramps[name] = value
        return float(value.start)

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Check before training that the networks are compatible with this part; register buffers that depend on them.

        Raises:
            UserError: they are incompatible.
        """
        return

    def check_loss(self, loss: Objective) -> None:
        """Check before training that the loss is compatible with this part.

        Raises:
            UserError: it is incompatible.
        """
        if self.acts_on_logits and loss.reads != "logits":
            raise UserError(
                f"{type(self).__name__} acts on the critic's logits, and {type(loss).__name__} uses only its features",
                None,
                "leave it out, or use MMDGradientPenalty",
            )

    def observe(self, turn: Turn) -> None:
        """Update the part's state after an optimizer step; nothing by default.

        It is called under ``no_grad``, for the turns of all players. Values computed from the batch must be averaged
        with :func:`saddlepoint.ranks.mean`, so that the state is the same on all ranks. Scalars added to ``turn.logs``
        are logged.
        """
        return
