"""The base class of all systems. It implements a turn; subclasses implement the algorithm of their paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import pytorch_lightning as pl
import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.optim import Optimizer

from saddlepoint import randomness
from saddlepoint.kinds import ScheduleName
from saddlepoint.parts import Part
from saddlepoint.regularizers.base import Regularizer
from saddlepoint.schedules import HalfLife, value_at
from saddlepoint.systems import checks, ema
from saddlepoint.systems.accumulation import accumulate_logs, check_separable, pieces
from saddlepoint.systems.capabilities import Export, Shown
from saddlepoint.systems.encoders import Encoder
from saddlepoint.systems.players import OptimizerFactory, Player, build_players, parameters_of_others
from saddlepoint.systems.progress import Budget, Progress, Stopwatch
from saddlepoint.systems.schedules import Schedules
from saddlepoint.systems.stepping import Stepper
from saddlepoint.turns import Turn
from saddlepoint.types import Batch, ImageBatch, VectorBatch


class Game(pl.LightningModule):
    """A Lightning module in which players alternate optimizer steps.

    A subclass lists its players in :attr:`roles` and implements its algorithm in :meth:`round`:

        def round(self, batch):
            self.turn("discriminator", loss=self.discriminator_loss, batch=batch)
            if self.generator_is_due():
                self.turn("generator", loss=self.generator_loss, batch=batch)

    Args:
        networks: networks by role; each becomes an attribute.
        optimizers: optimizer factory of each player.
        regularizers: penalties and constraints by name; each is added to the loss of its ``player``.
        ema_decay: decay of the averaged weights per generator update, or None.
        ema_half_life: half-life of the averaged weights in training images, or a ramp of it, instead of a decay. If
            both are None, no weights are averaged.
        schedule: learning-rate schedule over the budget.
        gradient_clip: maximum norm of a player's gradient, or None.
        accumulate: number of micro-batches per turn, for batches that do not fit into memory. Each micro-batch has
            as many generated as real samples, and its own BatchNorm statistics.
        budget: length of the run.
        seed: seed of all random draws.
        encoder: frozen model in whose latent space the system is trained, or None.

    Attributes:
        roles: the roles of each player's networks; players are in the order of their optimizers. A class attribute,
            or set before ``super().__init__()`` if it depends on arguments. A network may belong to several players.
        averaged: roles of the networks whose weights are averaged; set like ``roles``.
        takes: types of batches that the system can be trained on.
        images_at: maps the number of images seen so far to the size of the next batch over all ranks; None on one rank.
        progress: training counters.
    """

    roles: Mapping[str, Sequence[str]]
    averaged: Sequence[str] = ()
    takes: ClassVar[tuple[type[Batch], ...]] = (ImageBatch, VectorBatch)

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        optimizers: Mapping[str, OptimizerFactory],
        regularizers: Mapping[str, Regularizer] | None = None,
        ema_decay: Annotated[float, Field(ge=0, lt=1)] | None = None,
        ema_half_life: HalfLife | None = None,
        schedule: ScheduleName = "constant",
        gradient_clip: float | None = None,
        accumulate: PositiveInt = 1,
        budget: Budget | None = None,
        seed: int = 0,
        encoder: Encoder | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        checks.check_owners(type(self).__name__, self.roles, networks, optimizers)
        self.networks = dict(networks)
        for role, network in self.networks.items():
            self.add_module(role, network)
        self.regularizers = nn.ModuleDict(dict(regularizers or {}))
        self.players = build_players(self.roles, networks, optimizers, regularizers or {}, gradient_clip)
        self.statistics: list[Tensor] = []
        self.schedule: ScheduleName = schedule
        self.accumulate = accumulate
        self.budget = budget or Budget()
        self.seed = seed
        self.frozen_encoder = encoder or Encoder()
        self.images_at: Callable[[int], int] | None = None
        self.images_in_round = 0
        self.progress = Progress()
        self.stopwatch = Stopwatch(self.progress)
        self.logs: dict[str, Tensor] = {}
        self.observers: list[Part] = []
        self.stepper = Stepper()
        self._others: dict[tuple[str, ...], list[nn.Parameter]] = {}
        checks.check_averaging(ema_decay, ema_half_life)
        self.ema_decay, self.ema_half_life = ema_decay, ema_half_life
        kept = () if ema_decay is None and ema_half_life is None else self.averaged
        self.averages = {role: ema.frozen_copy(self.networks[role]) for role in kept}
        for role, average in self.averages.items():
            self.add_module(f"ema_{role}", average)
        self._averaged_tensors: list[ema.Tensors] = []
        if self.num_classes:
            self.register_buffer("label_shares", torch.full((self.num_classes,), 1 / self.num_classes))
        self.check_parts({f"regularizers.{name}": part for name, part in self.regularizers.items()})

    def check_parts(self, parts: Mapping[str, nn.Module]) -> None:
        """Check that parts are compatible with the networks and with gradient accumulation.

        Args:
            parts: losses, regularizers and augments by argument name, such as ``loss`` or ``regularizers.r1``.

        Raises:
            UserError: a part is incompatible.
        """
        for path, part in parts.items():
            checks.check_part(path, part, self.networks, self.players)
        check_separable(self.accumulate, {**parts, **self.networks})

    # The algorithm -------------------------------------------------------------------------------------------------

    def round(self, batch: Any) -> None:
        """Run one round of the algorithm on a batch: one or more turns."""
        raise NotImplementedError(f"{type(self).__name__} must implement round()")

    # Public interface ----------------------------------------------------------------------------------------------

    @property
    def num_classes(self) -> int:
        """Number of classes of a conditional generator; 0 if it is unconditional."""
        return 0

    def network(self, role: str, ema: bool = True) -> nn.Module:
        """Return the network of a role, with averaged weights if ``ema`` is true and they exist."""
        return self.averages.get(role, self.networks[role]) if ema else self.networks[role]

    def exports(self, ema: bool = True) -> Mapping[str, Export]:
        """Return the networks to export, by name; none by default."""
        return {}

    def export(self, role: str, inputs: Mapping[str, Tensor], outputs: tuple[str, ...], ema: bool) -> Export:
        """Return the export description of one network, for :meth:`exports`."""
        network = self.network(role, ema)
        return Export(network, inputs, outputs, role, averaged=network is not self.networks[role])

    def pictures(self, n: int, seed: int, held_out: Batch | None) -> Mapping[str, Shown]:
        """Return the image grids and scatter plots that are logged during training, by name; none by default.

        Args:
            n: approximate number of images per grid.
            seed: seed of all draws; the same seed makes grids of different training steps comparable.
            held_out: real samples of the held-out split on the system's device, or None.
        """
        return {}

    # Turns ---------------------------------------------------------------------------------------------------------

    def training_step(self, batches: Batch | list[Batch], batch_idx: int) -> None:
        """Run a round on each batch and update the counters."""
        for batch in batches if isinstance(batches, list) else [batches]:
            if self.budget.reached(self.progress):
                break
            with torch.autocast(self.device.type, enabled=False):  # codes are data, not to be rounded to 8 bits
                data = self.frozen_encoder.encode_batch(batch)
            self.images_in_round = self._images_on_all_ranks(batch)
            self.round(data)
            self.progress.rounds += 1
            self.progress.images_seen += self.images_in_round
            self.stopwatch.lap()
            if self.stepper.seconds is not None:
                self.progress.seconds = self.stepper.seconds

    def _images_on_all_ranks(self, batch: Batch) -> int:
        if self.trainer.world_size > 1 and self.images_at is not None:
            return self.images_at(self.progress.images_seen)  # a partial last batch is not divided evenly among ranks
        return len(batch) * self.trainer.world_size

    def turn(self, *names: str, loss: Callable[[Any], Turn], batch: Batch) -> None:
        """Take one optimizer step of some players on a loss plus their regularizers; all other weights are frozen.

        Args:
            names: names of the players. Values are logged under the name of the first.
            loss: function that returns the :class:`~saddlepoint.turns.Turn` of a batch.
            batch: real samples on this rank.
        """
        players = [self.players[name] for name in names]
        optimizers = [self.raw_optimizers[player.index] for player in players]
        turns = {name: self.progress.turns.get(name, 0) for name in names}
        key = "+".join(names)
        # Dropout can draw only from the device's default generator, so that generator is seeded and used throughout.
        self.random = randomness.reseed(self.device, self.seed, key, self.stepper.rank, turns[names[0]])
        if names not in self._others:
            self._others[names] = parameters_of_others(self.players, names)
        others = self._others[names]
        for parameter in others:
            parameter.requires_grad_(False)
        if self.schedules.change:
            self.schedules.apply(players, self.progress.images_seen, self.budget.fraction(self.progress))
        try:
            for optimizer in optimizers:
                optimizer.zero_grad()
            total = self._descend(players, loss, batch, turns)
            norms = self.stepper.step(
                key,
                optimizers,
                [player.parameters for player in players],
                total,
                [player.gradient_clip for player in players],
                self.statistics,
            )
        finally:
            for parameter in others:
                parameter.requires_grad_(True)
        for player in players:
            for constraint in player.constraints:
                constraint.project(self.networks)
        logged = set(self.record.logs)
        with torch.no_grad():
            for part in self.observers:
                part.observe(self.record)
        self.logs |= {f"{names[0]}/{key}": value for key, value in self.record.logs.items() if key not in logged}
        for name, norm in zip(names, norms, strict=True):
            self.progress.turns[name] = turns[name] + 1
            if norm is not None:
                self.logs[f"{name}/weight_gradient_norm"] = norm

    def _descend(
        self, players: Sequence[Player], loss: Callable[[Any], Turn], batch: Batch, turns: Mapping[str, int]
    ) -> Tensor:
        """Accumulate the gradients of loss and penalties over micro-batches; return the total loss, detached."""
        totals: list[Tensor] = []
        for piece, share in pieces(batch, self.accumulate):
            record = self.record = loss(piece)
            record.players, record.turns, record.share = tuple(turns), turns, share
            total = record.loss
            for player in players:
                for key, part in player.penalties:
                    if turns[player.name] % part.interval == 0:
                        with checks.located(f"regularizers.{key}", self.networks):
                            penalty = part.penalty(record)
                        record.logs.setdefault(key, penalty.detach())  # unless the part logs a value of that name
                        total = total + (penalty if part.interval == 1 else penalty * part.interval)
            if share < 1:
                total = total * share
            self.stepper.backward(total)
            accumulate_logs(self.logs, players[0].name, record, share, first=not totals)
            totals.append(total.detach())
        return totals[0] if len(totals) == 1 else torch.stack(totals).sum()

    def count_generator_update(self) -> None:
        """Count a generator update and update the averaged weights."""
        self.progress.generator_updates += 1
        if self._averaged_tensors:
            decay = self._average_decay()
            for tensors in self._averaged_tensors:
                ema.update(tensors, decay)

    def _average_decay(self) -> float:
        """Return the decay of this update of the averaged weights."""
        progress = self.progress
        if self.ema_decay is not None:
            return ema.warmed_up(self.ema_decay, progress.updates_before + progress.generator_updates)
        half_life: float = value_at(self.ema_half_life, progress.images_seen, self.budget.fraction(progress))
        before, progress.images_averaged = progress.images_averaged, progress.images_seen + self.images_in_round
        return ema.of_half_life(half_life, progress.images_averaged - before)

    def on_fit_start(self) -> None:
        """Set up what depends on the trainer and on the networks' device."""
        for player in self.players.values():
            player.list_tensors()
        self._others = {}
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        self.stepper = Stepper(scaler, self.trainer.world_size, self.global_rank)
        self.stopwatch.alone, before = self.trainer.world_size == 1, self.progress.seconds
        self.stepper.clock = lambda: before + self.stopwatch.own
        self.observers = [m for m in self.modules() if isinstance(m, Part) and type(m).observe is not Part.observe]
        # The buffers of all networks: G's forward pass in a turn of D updates G's running statistics. Listed here
        # since moving a module to its device replaces its buffers.
        self.statistics = [buffer for network in self.networks.values() for buffer in network.buffers()]
        self._averaged_tensors = [ema.tensors_of(self.averages[role], self.networks[role]) for role in self.averages]

    def configure_optimizers(self) -> list[Optimizer]:
        """Return one optimizer per player, in the order of :attr:`roles`."""
        self.raw_optimizers = [player.build_optimizer() for player in self.players.values()]
        self.schedules = Schedules(self.schedule, self.players.values(), self.raw_optimizers, self.modules())
        return self.raw_optimizers

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move a batch or a list of batches to the device."""
        return [one.to(device) for one in batch] if isinstance(batch, list) else batch.to(device)

    # Checkpoints ---------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the counters."""
        checkpoint["progress"] = self.progress.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the counters."""
        for key, value in checkpoint["progress"].items():
            setattr(self.progress, key, value)
