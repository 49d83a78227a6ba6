"""The engine of every system: players that take turns.

A system's file shows its paper's algorithm; all the bookkeeping around a turn stands here, once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import pytorch_lightning as pl
import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.optim import Optimizer

from saddlepoint import randomness
from saddlepoint.parts import Part
from saddlepoint.regularizers.base import Regularizer
from saddlepoint.systems import checks, ema
from saddlepoint.systems.accumulation import check_separable, pieces
from saddlepoint.systems.capabilities import Export, Picture
from saddlepoint.systems.encoders import Encoder
from saddlepoint.systems.players import OptimizerFactory, Player
from saddlepoint.systems.progress import Budget, Progress, Stopwatch
from saddlepoint.systems.schedules import SCHEDULES, ScheduleName, constant
from saddlepoint.systems.stepping import Stepper
from saddlepoint.turns import Turn
from saddlepoint.types import Batch, ImageBatch, VectorBatch


class Game(pl.LightningModule):
    """Players, their optimizers, and the turns that they take.

    A subclass names its players in :attr:`roles` and writes its algorithm in :meth:`round`:

        def round(self, batch):
            self.turn("discriminator", loss=self.discriminator_loss, batch=batch)
            if self.generator_is_due():
                self.turn("generator", loss=self.generator_loss, batch=batch)

    Args:
        networks: the networks by role; each becomes an attribute.
        optimizers: an optimizer's factory for each player.
        regularizers: penalties and constraints by name; each names the player who pays.
        ema_decay: of the averaged weights, per update of the generator; None keeps no average.
        schedule: how the learning rates fall over the budget.
        gradient_clip: largest norm of a player's gradient, or None.
        accumulate: pieces in which a turn takes its batch, for batches larger than memory; each piece sees as many
            fakes as real samples, and BatchNorm the statistics of its piece.
        budget: when the run ends.
        seed: the key of all randomness.
        encoder: the frozen model in whose latent space the game is played, or None.

    Attributes:
        roles: the networks that each player owns, players in the order of their optimizers. A class attribute, or set
            before ``super().__init__()`` where it depends on arguments. A network may belong to several players.
        averaged: the roles of which averaged weights are kept, likewise.
        takes: the kinds of batches that the system trains on.
        images_at: says how many images, over all ranks, the batch at a position has; where there are several ranks.
        progress: the counters.
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
        self.players = {
            name: Player(
                name,
                index,
                {role: networks[role] for role in owned},
                optimizers[name],
                {key: part for key, part in (regularizers or {}).items() if part.player == name},
                gradient_clip,
            )
            for index, (name, owned) in enumerate(self.roles.items())
        }
        self.statistics: list[Tensor] = []
        self.schedule = SCHEDULES[schedule]
        self.accumulate = accumulate
        self.budget = budget or Budget()
        self.seed = seed
        self.frozen_encoder = encoder or Encoder()
        self.images_at: Callable[[int], int] | None = None
        self.progress = Progress()
        self.stopwatch = Stopwatch(self.progress)
        self.logs: dict[str, Tensor] = {}
        self.observers: list[Part] = []
        self.stepper = Stepper()
        self._others: dict[tuple[str, ...], list[nn.Parameter]] = {}
        self.ema_decay = ema_decay
        kept = self.averaged if ema_decay is not None else ()
        self.averages = {role: ema.frozen_copy(self.networks[role]) for role in kept}
        for role, average in self.averages.items():
            self.add_module(f"ema_{role}", average)
        self._averaged_tensors: list[ema.Tensors] = []
        if self.num_classes:
            self.register_buffer("label_shares", torch.full((self.num_classes,), 1 / self.num_classes))
        self.check_parts({f"regularizers.{name}": part for name, part in self.regularizers.items()})

    def check_parts(self, parts: Mapping[str, nn.Module]) -> None:
        """Let parts refuse networks that they do not suit, and refuse to split a batch whose samples they compare.

        Args:
            parts: by the argument that they came by, such as ``loss`` or ``regularizers.r1``.
        """
        for path, part in parts.items():
            checks.check_part(path, part, self.networks, self.players)
        check_separable(self.accumulate, {**parts, **self.networks})

    # The algorithm -------------------------------------------------------------------------------------------------

    def round(self, batch: Any) -> None:
        """Play one round on a batch: the paper's algorithm."""
        raise NotImplementedError(f"{type(self).__name__} must implement round()")

    # What others may ask -------------------------------------------------------------------------------------------

    @property
    def num_classes(self) -> int:
        """Number of classes that samples can be asked for; 0 without conditioning."""
        return 0

    def network(self, role: str, ema: bool = True) -> nn.Module:
        """Return a network by its role: with averaged weights where there are some and ``ema`` is true."""
        return self.averages.get(role, self.networks[role]) if ema else self.networks[role]

    def exports(self, ema: bool = True) -> Mapping[str, Export]:
        """Return the networks that are worth exporting, by name; none unless overridden."""
        return {}

    def export(self, role: str, inputs: Mapping[str, Tensor], outputs: tuple[str, ...], ema: bool) -> Export:
        """Return one of the networks for :meth:`exports`."""
        network = self.network(role, ema)
        return Export(network, inputs, outputs, role, averaged=network is not self.networks[role])

    def pictures(self, n: int, seed: int, held_out: Batch | None) -> Mapping[str, Picture]:
        """Return what is shown of the system as it trains, by name; nothing unless overridden.

        Args:
            n: about how many images.
            seed: of all draws, so that pictures of different moments compare.
            held_out: some real samples that the system is not trained on, on its device; None where there are none.
        """
        return {}

    # Turns ---------------------------------------------------------------------------------------------------------

    def training_step(self, batches: Batch | list[Batch], batch_idx: int) -> None:
        """Play a round on each batch, and count it."""
        for batch in batches if isinstance(batches, list) else [batches]:
            if self.budget.reached(self.progress):
                break
            with torch.autocast(self.device.type, enabled=False):  # codes are data, not to be rounded to 8 bits
                data = self.frozen_encoder.encode_batch(batch)
            self.round(data)
            self.progress.rounds += 1
            self.progress.images_seen += self._images_on_all_ranks(batch)
            self.stopwatch.lap()
            if self.stepper.seconds is not None:
                self.progress.seconds = self.stepper.seconds

    def _images_on_all_ranks(self, batch: Batch) -> int:
        if self.trainer.world_size > 1 and self.images_at is not None:
            return self.images_at(self.progress.images_seen)  # ranks' shares of a partial last batch differ by one
        return len(batch) * self.trainer.world_size

    def turn(self, *names: str, loss: Callable[[Any], Turn], batch: Batch) -> None:
        """Let players take one step down a loss plus their regularizers; nobody else's weights move.

        Args:
            names: the players; where there are several, the union of their networks learns. What the turn logs bears
                the first one's name.
            loss: computes the turn's record from the batch.
            batch: real samples on this rank.
        """
        players = [self.players[name] for name in names]
        optimizers = [self.raw_optimizers[player.index] for player in players]
        turns = {name: self.progress.turns.get(name, 0) for name in names}
        key = "+".join(names)
        # Dropout can only draw from the device's own generator; so that one is keyed, and everything draws from it.
        self.random = randomness.reseed(self.device, self.seed, key, self.stepper.rank, turns[names[0]])
        others = self._frozen_in(names)
        for parameter in others:
            parameter.requires_grad_(False)
        try:
            for optimizer in optimizers:
                optimizer.zero_grad()
            total = self._descend(players, loss, batch, turns)
            for optimizer in optimizers:
                self._set_learning_rate(optimizer)
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
        noted = set(self.record.logs)
        with torch.no_grad():
            for part in self.observers:
                part.observe(self.record)
        self.logs |= {f"{names[0]}/{key}": value for key, value in self.record.logs.items() if key not in noted}
        for name, norm in zip(names, norms, strict=True):
            self.progress.turns[name] = turns[name] + 1
            if norm is not None:
                self.logs[f"{name}/weight_gradient_norm"] = norm

    def _frozen_in(self, names: tuple[str, ...]) -> list[nn.Parameter]:
        """Return the parameters that stand still while these players take a turn."""
        if names not in self._others:
            own = [parameter for name in names for parameter in self.players[name].parameters]
            if len(set(own)) < len(own):
                raise ValueError(f"players {', '.join(names)} share a network, which one turn would step twice")
            everybody = dict.fromkeys(p for player in self.players.values() for p in player.parameters)
            self._others[names] = list(everybody.keys() - set(own))
        return self._others[names]

    def _descend(
        self, players: Sequence[Player], loss: Callable[[Any], Turn], batch: Batch, turns: Mapping[str, int]
    ) -> Tensor:
        """Accumulate the gradients of a turn's loss and penalties, piece by piece; return their sum, detached."""
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
                        record.logs.setdefault(key, penalty.detach())  # a figure of that name is the part's own
                        total = total + (penalty if part.interval == 1 else penalty * part.interval)
            if share < 1:
                total = total * share
            self.stepper.backward(total)
            self._note(players[0].name, record, share, afresh=not totals)
            totals.append(total.detach())
        return totals[0] if len(totals) == 1 else torch.stack(totals).sum()

    def count_generator_update(self) -> None:
        """Count an update of what generates, and move the averages after it."""
        self.progress.generator_updates += 1
        for tensors in self._averaged_tensors:
            assert self.ema_decay is not None
            ema.update(tensors, self.ema_decay, self.progress.updates_before + self.progress.generator_updates)

    def on_fit_start(self) -> None:
        """Learn from the trainer how steps are taken; the networks have reached their device."""
        for player in self.players.values():
            player.list_tensors()
        self._others = {}
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        self.stepper = Stepper(scaler, self.trainer.world_size, self.global_rank)
        self.stopwatch.alone, before = self.trainer.world_size == 1, self.progress.seconds
        self.stepper.clock = lambda: before + self.stopwatch.own
        # All networks', for a turn of D moves G's too; listed on the device, where modules have new ones.
        self.observers = [m for m in self.modules() if isinstance(m, Part) and type(m).observe is not Part.observe]
        self.statistics = [buffer for network in self.networks.values() for buffer in network.buffers()]
        self._averaged_tensors = [ema.tensors_of(self.averages[role], self.networks[role]) for role in self.averages]

    def configure_optimizers(self) -> list[Optimizer]:
        """Return one optimizer a player, in the order of :attr:`roles`."""
        self.raw_optimizers = [player.build_optimizer() for player in self.players.values()]
        self._base_rates = {id(o): [group["lr"] for group in o.param_groups] for o in self.raw_optimizers}
        return self.raw_optimizers

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move batches, or lists of them, to the device; our loaders yield them where they are needed."""
        return [one.to(device) for one in batch] if isinstance(batch, list) else batch.to(device)

    def _set_learning_rate(self, optimizer: Optimizer) -> None:
        if self.schedule is constant:
            return
        factor = self.schedule(self.budget.fraction(self.progress))
        for group, base in zip(optimizer.param_groups, self._base_rates[id(optimizer)], strict=True):
            group["lr"] = base * factor

    def _note(self, name: str, record: Turn, share: float, afresh: bool) -> None:
        """Keep detached tensors; whoever logs them reads them, so a step never waits for the device."""
        noted = {"loss": record.loss, **record.logs}
        noted |= {f"logits_{key}": output.logits for key, output in record.outputs.items()}
        for key, value in noted.items():
            kept = value.detach() if share == 1 else value.detach().float().mean() * share
            key = f"{name}/{key}"
            self.logs[key] = kept if afresh else self.logs[key] + kept

    # Checkpoints ---------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the counters."""
        checkpoint["progress"] = self.progress.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the counters."""
        for key, value in checkpoint["progress"].items():
            setattr(self.progress, key, value)
