"""Base class of regularizers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn, get_args, get_type_hints

from pydantic import PositiveInt
from torch import Tensor, nn

from saddlepoint.errors import UserError, choose
from saddlepoint.networks.layers.conditioning import ConditionalBatchNorm
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.networks.layers.statistics import uses_batch_statistics
from saddlepoint.parts import Part
from saddlepoint.schedules import Weight
from saddlepoint.trees import map_tree
from saddlepoint.turns import Bound, Critic, Turn


class Regularizer(Part):
    """Base class of penalties on a player's loss and constraints on weights.

    Subclasses override :meth:`penalty` or :meth:`project`. :class:`~saddlepoint.systems.game.Game` calls :meth:`check`
    before training, :meth:`penalty` in every ``interval``-th turn of the player, and :meth:`project` after each of the
    player's optimizer steps. The penalty is multiplied by ``interval``, so its mean over turns does not depend on it
    (lazy regularization). Random numbers are drawn from ``turn.random``, and state is kept in buffers, so that training
    can be resumed exactly.

    Args:
        weight: factor of the penalty, the paper's λ or γ, or a ramp of it.
        player: player to whose loss the penalty is added.
        network: role of the network that the regularizer acts on; by default the player's name.
        interval: number of the player's turns per penalty.

    Attributes:
        of_single_samples: whether it penalizes gradients with respect to single samples, which BatchNorm rules out
            (Gulrajani et al. 2017, arXiv:1704.00028, section 4).
    """

    of_single_samples: ClassVar[bool] = False

    def __init__(
        self,
        weight: Weight = 1.0,
        player: str = "discriminator",
        network: str | None = None,
        interval: PositiveInt = 1,
    ) -> None:
        super().__init__()
        self.weight = self.initial("weight", weight)
        self.player, self.interval = player, interval
        self.network = network or player

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Check that the network exists and is compatible with the regularizer.

        Raises:
            UserError: it does not exist, or is incompatible.
        """
        super().check(networks)
        if self.network not in networks:
            raise UserError(f"there is no network '{self.network}'", "network", choose(self.network, networks))
        if self.of_single_samples and uses_batch_statistics(networks[self.network]):
            self._refuse_batch_norm(networks[self.network])

    def penalty(self, turn: Turn) -> Tensor:
        """Return the penalty, including the factor ``weight``, a scalar; zero by default."""
        return turn.loss.new_zeros(())

    def project(self, networks: Mapping[str, nn.Module]) -> None:
        """Change weights in place after the player's step; nothing by default."""
        return

    def real(self, turn: Turn) -> Any:
        """Return the turn's real samples, detached and at least in float32.

        Raises:
            UserError: the turn has no real samples.
        """
        return self._detached(turn.real, "real samples", turn)

    def fake(self, turn: Turn) -> Any:
        """Return the turn's generated samples, detached and at least in float32.

        Raises:
            UserError: the turn has no generated samples.
        """
        return self._detached(turn.fake, "generated samples", turn)

    def critic(self, turn: Turn) -> Critic:
        """Return the turn's critic.

        Raises:
            UserError: the turn has no critic, or its critic is not the regularizer's network.
        """
        if turn.critic is None:
            raise self._missing("a critic", turn)
        if turn.critic.network is not turn.networks[self.network]:
            judge = next(role for role, network in turn.networks.items() if network is turn.critic.network)
            raise UserError(
                f"{type(self).__name__} acts on the {self.network}, but the critic of this turn is the {judge}",
                "network",
                f"set it to {judge}",
            )
        return turn.critic

    def generator(self, turn: Turn) -> Bound:
        """Return the turn's map from latents to samples.

        Raises:
            UserError: the turn has no latents or generator.
        """
        if turn.generate is None or turn.latents is None:
            raise self._missing("latents and a generator", turn)
        return turn.generate

    def judged(self, turn: Turn, *kinds: str) -> None:
        """Check that the turn has the critic's outputs on samples of these kinds ("real", "fake").

        Raises:
            UserError: an output is missing.
        """
        if missing := [kind for kind in kinds if kind not in turn.outputs]:
            raise self._missing(f"the critic's output on {' and '.join(missing)} samples", turn)

    def single(self, samples: Any) -> Tensor:
        """Return samples, [N, ...], after checking that they are not pairs.

        Raises:
            UserError: they are pairs, as in BiGAN.
        """
        if not isinstance(samples, Tensor):
            problem = f"{type(self).__name__} does not support a critic of pairs"
            raise UserError(problem, None, "choose another regularizer")
        return samples

    def _refuse_batch_norm(self, network: nn.Module) -> NoReturn:
        problem = (
            f"{type(self).__name__} penalizes gradients of single samples, and with batch normalization in the "
            f"{self.network}, outputs depend on the whole batch"
        )
        if any(isinstance(module, ConditionalBatchNorm) for module in network.modules()):
            raise UserError(problem, f"{self.network}.conditioning", "choose another than batchnorm")
        kinds = get_args(get_type_hints(type(network).__init__).get("norm"))
        if others := [kind for kind in kinds if kind != "batch"]:
            raise UserError(problem, f"{self.network}.norm", f"choose from {', '.join(others)}")
        raise UserError(problem, None, "choose another network, or another regularizer")

    def _detached(self, samples: Any, what: str, turn: Turn) -> Any:
        if samples is None:
            raise self._missing(what, turn)
        return map_tree(lambda tensor: at_least_float32(tensor.detach()), samples)

    def _missing(self, what: str, turn: Turn) -> UserError:
        problem = f"{type(self).__name__} needs {what}, and the turn of {' and '.join(turn.players)} has none"
        return UserError(problem, "player", "choose another player or another regularizer")

    def extra_repr(self) -> str:
        """Return the common arguments."""
        acts_on = "" if self.network == self.player else f", network={self.network}"
        return f"player={self.player}{acts_on}, weight={self.weight}, interval={self.interval}"
