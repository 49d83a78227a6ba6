"""What every regularizer promises."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from saddlepoint.errors import UserError, choose
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.networks.layers.statistics import uses_batch_statistics
from saddlepoint.parts import Part
from saddlepoint.trees import map_tree
from saddlepoint.turns import Bound, Critic, Turn


class Regularizer(Part):
    """A penalty that a player adds to the loss of its turn, or a constraint on weights after its step, or both.

    A subclass overrides :meth:`penalty` or :meth:`project`. The engine calls ``check`` once before training;
    ``penalty`` every ``interval``-th turn of the player, times ``interval``, so that its mean over turns stays the same
    (lazy regularisation); and ``project`` after each of the player's optimizer steps. Random draws come from
    ``turn.random``, and what a part remembers lies in buffers, so a resumed run repeats them.

    Args:
        weight: what the penalty is multiplied by, its paper's λ or γ.
        player: who pays: the penalty is added to this player's loss.
        network: the network that it acts on, by its role; by default the one that has the player's name.
        interval: turns of that player from one penalty to the next.
    """

    def __init__(
        self,
        weight: NonNegativeFloat = 1.0,
        player: str = "discriminator",
        network: str | None = None,
        interval: PositiveInt = 1,
    ) -> None:
        super().__init__()
        self.weight, self.player, self.interval = weight, player, interval
        self.network = network or player

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Refuse, before training, networks that this regularizer does not suit.

        Raises:
            UserError: there is no network of that role, or its layers do not go with the regularizer.
        """
        super().check(networks)
        if self.network not in networks:
            raise UserError(f"there is no network '{self.network}'", "network", choose(self.network, networks))

    def penalty(self, turn: Turn) -> Tensor:
        """Return a scalar to add to the turn's loss, already times ``weight``; zero unless overridden."""
        return turn.loss.new_zeros(())

    def project(self, networks: Mapping[str, nn.Module]) -> None:
        """Change weights after the player's step, in place; nothing unless overridden."""
        return

    def refuse_batch_norm(self, networks: Mapping[str, nn.Module]) -> None:
        """Refuse BatchNorm in the network that the penalty acts on.

        Under BatchNorm a sample's output depends on the others of its batch, so no gradient is one sample's own.

        Raises:
            UserError: the network has BatchNorm.
        """
        network = networks[self.network]
        if uses_batch_statistics(network):
            problem = (
                f"{type(self).__name__} penalises a gradient for each sample, and batch normalisation in the "
                f"{self.network} mixes the samples of a batch"
            )
            if "norm" in inspect.signature(type(network)).parameters:
                raise UserError(problem, f"{self.network}.norm", "use layer normalisation, or none")
            raise UserError(problem, None, "choose another network, or another regularizer")

    def real(self, turn: Turn) -> Any:
        """Return the turn's real samples without their graph, in float32 or wider.

        Raises:
            UserError: the turn sees no real samples.
        """
        return self._detached(turn.real, "real samples", turn)

    def fake(self, turn: Turn) -> Any:
        """Return the turn's generated samples without their graph, in float32 or wider.

        Raises:
            UserError: the turn generates no samples.
        """
        return self._detached(turn.fake, "generated samples", turn)

    def critic(self, turn: Turn) -> Critic:
        """Return the turn's critic.

        Raises:
            UserError: nobody judges samples in this turn.
        """
        if turn.critic is None:
            raise self._missing("a critic", turn)
        if turn.critic.network is not turn.networks[self.network]:
            judge = next(role for role, network in turn.networks.items() if network is turn.critic.network)
            raise UserError(
                f"{type(self).__name__} acts on the {self.network}, and the critic of this turn is the {judge}",
                "network",
                f"set it to {judge}",
            )
        return turn.critic

    def generator(self, turn: Turn) -> Bound:
        """Return the turn's map from latents to samples.

        Raises:
            UserError: nobody generates samples in this turn.
        """
        if turn.generate is None or turn.latents is None:
            raise self._missing("latents and a generator", turn)
        return turn.generate

    def judged(self, turn: Turn, *kinds: str) -> None:
        """Refuse a turn in which the critic has not judged samples of all these kinds ("real", "fake").

        Raises:
            UserError: one is missing.
        """
        if missing := [kind for kind in kinds if kind not in turn.outputs]:
            raise self._missing(f"the critic's output on {' and '.join(missing)} samples", turn)

    def single(self, samples: Any) -> Tensor:
        """Return samples, [N, ...], that are no pairs.

        Raises:
            UserError: they are the pairs that a critic of pairs judges.
        """
        if not isinstance(samples, Tensor):
            problem = f"{type(self).__name__} acts on samples alone, and this critic judges pairs"
            raise UserError(problem, None, "choose another regularizer")
        return samples

    def _detached(self, samples: Any, what: str, turn: Turn) -> Any:
        if samples is None:
            raise self._missing(what, turn)
        return map_tree(lambda tensor: at_least_float32(tensor.detach()), samples)

    def _missing(self, what: str, turn: Turn) -> UserError:
        problem = f"{type(self).__name__} needs {what}, and the turn of {' and '.join(turn.players)} has none"
        return UserError(problem, "player", "name the player whose turn has them, or choose another regularizer")

    def extra_repr(self) -> str:
        """Show the shared settings."""
        acts_on = "" if self.network == self.player else f", network={self.network}"
        return f"player={self.player}{acts_on}, weight={self.weight}, interval={self.interval}"
