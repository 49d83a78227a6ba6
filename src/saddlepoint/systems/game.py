"""The shared machine of every system: players that take turns.

A system's file shows its paper's algorithm; all the bookkeeping around a turn stands here, once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.optim import Optimizer

from saddlepoint import randomness
from saddlepoint.parts import Part
from saddlepoint.regularizers.base import Regularizer
from saddlepoint.systems.accumulation import check_separable, pieces
from saddlepoint.systems.players import OptimizerFactory, Player
from saddlepoint.systems.progress import Budget, Progress, Stopwatch
from saddlepoint.systems.sampling import Sampling
from saddlepoint.systems.schedules import SCHEDULES, ScheduleName, constant
from saddlepoint.systems.stepping import Stepper
from saddlepoint.types import Batch, Turn


class Game(Sampling):
    """Players, their optimizers, and the turns that they take.

    A subclass names its players in :attr:`roles` and writes its algorithm in :meth:`round`:

        def round(self, batch):
            self.turn("discriminator", self.discriminator_loss, batch)
            if self.generator_is_due():
                self.turn("generator", self.generator_loss, batch)

    Args:
        networks: the networks by role; each becomes an attribute.
        optimizers: an optimizer's factory for each player.
        regularizers: penalties and constraints by name; each names its player.
        schedule: how the learning rates fall over the budget.
        gradient_clip: largest norm of a player's gradient, or None.
        accumulate: pieces in which a turn takes its batch, for batches larger than memory; each piece sees as many
            fakes as real samples, and BatchNorm the statistics of its piece.
        budget: when the run ends.
        seed: the key of all randomness.

    Attributes:
        images_at: says how many images, over all ranks, the batch at a position has; where there are several ranks.
        progress: the counters.
    """

    roles: ClassVar[Mapping[str, tuple[str, ...]]]
    """The networks that each player owns, players in the order of their optimizers."""

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        optimizers: Mapping[str, OptimizerFactory],
        regularizers: Mapping[str, Regularizer] | None = None,
        schedule: ScheduleName = "constant",
        gradient_clip: float | None = None,
        accumulate: PositiveInt = 1,
        budget: Budget | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        for role, network in networks.items():
            self.add_module(role, network)
        self.regularizers = nn.ModuleDict(dict(regularizers or {}))
        self.players = {
            name: Player(
                name,
                index,
                [networks[role] for role in owned],
                optimizers[name],
                {key: part for key, part in (regularizers or {}).items() if part.player == name},
                gradient_clip,
            )
            for index, (name, owned) in enumerate(self.roles.items())
        }
        self.networks = dict(networks)
        self.statistics: list[Tensor] = []
        self.schedule = SCHEDULES[schedule]
        self.accumulate = accumulate
        self.budget = budget or Budget()
        self.seed = seed
        self.images_at: Callable[[int], int] | None = None
        self.progress = Progress()
        self.stopwatch = Stopwatch(self.progress)
        self.logs: dict[str, Tensor] = {}
        self.observers: list[Part] = []
        self.stepper = Stepper()
        if self.num_classes:
            self.register_buffer("label_shares", torch.full((self.num_classes,), 1 / self.num_classes))
        self.check_parts(dict(self.regularizers))

    def check_parts(self, parts: Mapping[str, nn.Module]) -> None:
        """Let parts refuse networks that they do not suit, and refuse to split a batch whose samples they compare."""
        for part in parts.values():
            assert isinstance(part, Part)
            part.check(self.networks)
        check_separable(self.accumulate, {**parts, **self.networks})

    # The algorithm -------------------------------------------------------------------------------------------------

    def round(self, batch: Batch) -> None:
        """Play one round on a batch: the paper's algorithm."""
        raise NotImplementedError(f"{type(self).__name__} plays no round")

    # Turns ---------------------------------------------------------------------------------------------------------

    def training_step(self, batches: Batch | list[Batch], batch_idx: int) -> None:
        """Play a round on each batch, and count it."""
        for batch in batches if isinstance(batches, list) else [batches]:
            if self.budget.reached(self.progress):
                break
            self.round(batch)
            self.progress.rounds += 1
            self.progress.images_seen += self._images_on_all_ranks(batch)
            self.stopwatch.lap()
            if self.stepper.seconds is not None:
                self.progress.seconds = self.stepper.seconds

    def _images_on_all_ranks(self, batch: Batch) -> int:
        if self.trainer.world_size > 1 and self.images_at is not None:
            return self.images_at(self.progress.images_seen)  # ranks' shares of a partial last batch differ by one
        return len(batch.samples) * self.trainer.world_size

    def turn(self, name: str, loss: Callable[[Batch], Turn], batch: Batch) -> None:
        """Let a player take one step down its loss plus its regularizers; nobody else's weights move.

        Args:
            name: the player.
            loss: computes the turn's record from the batch.
            batch: real samples on this rank.
        """
        player = self.players[name]
        optimizer = self.raw_optimizers[player.index]
        turns = self.progress.turns.get(name, 0)
        # Dropout can only draw from the device's own generator; so that one is keyed, and everything draws from it.
        self.random = randomness.reseed(self.device, self.seed, name, self.stepper.rank, turns)
        for other in self.players.values():
            if other is not player:
                other.freeze()
        try:
            optimizer.zero_grad()
            total = self._descend(player, loss, batch, turns)
            self._set_learning_rate(optimizer)
            norm = self.stepper.step(name, optimizer, player.parameters, total, player.gradient_clip, self.statistics)
        finally:
            for other in self.players.values():
                if other is not player:
                    other.thaw()
        for constraint in player.constraints:
            constraint.project(self.networks)
        noted = set(self.record.logs)
        with torch.no_grad():
            for part in self.observers:
                part.observe(self.record)
        self.logs |= {f"{name}/{key}": value for key, value in self.record.logs.items() if key not in noted}
        self.progress.turns[name] = turns + 1
        if norm is not None:
            self.logs[f"{name}/weight_gradient_norm"] = norm

    def _descend(self, player: Player, loss: Callable[[Batch], Turn], batch: Batch, turns: int) -> Tensor:
        """Accumulate the gradients of a turn's loss and penalties, piece by piece; return their sum, detached."""
        totals: list[Tensor] = []
        for piece, share in pieces(batch, self.accumulate):
            record = self.record = loss(piece)
            record.player, record.turns, record.share = player.name, turns, share
            total = record.loss
            for key, part in player.penalties:
                if turns % part.interval == 0:
                    penalty = part.penalty(record)
                    record.logs.setdefault(key, penalty.detach())  # a figure of that name is the part's, for observe
                    total = total + (penalty if part.interval == 1 else penalty * part.interval)
            if share < 1:
                total = total * share
            self.stepper.backward(total)
            self._note(player.name, record, share, afresh=not totals)
            totals.append(total.detach())
        return totals[0] if len(totals) == 1 else torch.stack(totals).sum()

    def on_fit_start(self) -> None:
        """Learn from the trainer how steps are taken; the networks have reached their device."""
        for player in self.players.values():
            player.list_tensors()
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        self.stepper = Stepper(scaler, self.trainer.world_size, self.global_rank)
        self.stopwatch.alone, before = self.trainer.world_size == 1, self.progress.seconds
        self.stepper.clock = lambda: before + self.stopwatch.own
        # All networks', for a turn of D moves G's too; listed on the device, where modules have new ones.
        self.observers = [m for m in self.modules() if isinstance(m, Part) and type(m).observe is not Part.observe]
        self.statistics = [buffer for network in self.networks.values() for buffer in network.buffers()]

    def configure_optimizers(self) -> list[Optimizer]:
        """One optimizer a player, in the order of :attr:`roles`."""
        self.raw_optimizers = [player.build_optimizer() for player in self.players.values()]
        self._base_rates = {id(o): [group["lr"] for group in o.param_groups] for o in self.raw_optimizers}
        return self.raw_optimizers

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Our loaders yield batches where they are needed; anything else is moved as Lightning does."""
        first = batch[0] if isinstance(batch, list) else batch
        if isinstance(first, tuple) and isinstance(first[0], Tensor) and first[0].device == device:
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

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
