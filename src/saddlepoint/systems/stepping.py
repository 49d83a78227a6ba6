"""How a player's step is taken: backward, all-reduce, guard, clipping, optimizer; in any precision, on any ranks.

Lightning's own optimizer wrapper is not used: it counts every player's step as a global step, and costs a third of a
small network's turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from saddlepoint.networks.layers.precision import full_precision


class NonFiniteError(ArithmeticError):
    """A loss or gradient was NaN or infinite; it has not reached the weights."""


class Stepper:
    """Takes the optimizer steps of a game.

    Args:
        scaler: for fp16, else None.
        world_size: ranks whose gradients are averaged.
        rank: this one.

    Attributes:
        stop_requested: this rank has been told to stop.
        stop_agreed: some rank had been told so when the last step was reduced; all ranks see the same.
        clock: this rank's training time in seconds.
        seconds: rank 0's when the last step was reduced, the same on all ranks; None on a single one.
    """

    def __init__(self, scaler: GradScaler | None = None, world_size: int = 1, rank: int = 0) -> None:
        self.scaler = scaler
        self.world_size = world_size
        self.rank = rank
        self.stop_requested = False
        self.stop_agreed = False
        self.clock: Callable[[], float] = float
        self.seconds: float | None = None
        self._pending: list[tuple[str, Tensor, Any]] = []

    def backward(self, loss: Tensor) -> None:
        """Accumulate the loss's gradients, each in the precision that its forward pass had.

        Under autocast the backward pass of what ran in float32, a penalty's second derivatives too, would be cast.
        """
        if self.scaler is not None:
            loss = self.scaler.scale(loss)
        with full_precision(loss.device):
            loss.backward()

    def step(
        self,
        name: str,
        optimizers: Sequence[Optimizer],
        parameters: Sequence[Sequence[nn.Parameter]],
        loss: Tensor,
        clips: Sequence[float | None],
        buffers: Sequence[Tensor] = (),
    ) -> list[Tensor | None]:
        """Step along the accumulated gradients.

        Args:
            name: of the player or players, for errors.
            optimizers: one a player.
            parameters: each optimizer's.
            loss: the turn's total, a detached scalar; where it or a gradient is not finite no weight moves. Under a
                scaler a gradient that overflows keeps its own player's weights alone where they are.
            clips: for each player the largest norm of the gradient, or None.
            buffers: running statistics to average over ranks along with the gradients.

        Returns:
            The norm of each player's gradient before clipping, a scalar on the device; None without clipping, which
            alone needs it.

        Raises:
            NonFiniteError: for this step on a CPU, for an earlier one on a GPU, which is not waited for.
        """
        everything = [parameter for own in parameters for parameter in own]
        if self.world_size > 1:
            notes = (float(self.stop_requested), self.clock() if self.rank == 0 else 0.0)
            loss, heard = average_over_ranks(everything, buffers, loss, self.world_size, notes)
        else:
            heard = None
        # Under a scaler an infinite gradient is an overflow: the scaler skips the step and lowers the scale.
        if self.scaler is not None:
            for optimizer in optimizers:
                self.scaler.unscale_(optimizer)
            faults = non_finite(loss, [])
        else:
            faults = non_finite(loss, [p.grad for p in everything if p.grad is not None])
        self._check(name, faults, heard)
        norms = [_clipped(own, clip) for own, clip in zip(parameters, clips, strict=True)]
        if self.scaler is not None:
            for optimizer in optimizers:
                self.scaler.step(optimizer)
            self.scaler.update()
        else:
            for optimizer in optimizers:
                if faults.device.type != "cpu":
                    _skip_where(optimizer, faults)
                optimizer.step()
        return norms

    def _check(self, name: str, faults: Tensor, heard: Tensor | None) -> None:
        answers = faults if heard is None else torch.cat([faults.reshape(1), heard])
        if faults.device.type == "cpu":
            self._read(name, answers)
            return
        # The answers are copied while the GPU works on, and read a step later, when they have long arrived.
        for earlier, answer, arrived in self._pending:
            arrived.synchronize()
            self._read(earlier, answer)
        copied = answers.to("cpu", non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        self._pending = [(name, copied, arrived)]

    def settle(self) -> None:
        """Wait for the last step's answer, before what it has left is saved: a GPU's is otherwise read a step later.

        What ranks tell each other stays unread: they must hear it after the same step.

        Raises:
            NonFiniteError: the last step had a fault; running statistics and the state of parts may hold it.
        """
        for name, answer, arrived in self._pending:
            arrived.synchronize()
            self._read(name, answer.flatten()[0])

    def _read(self, name: str, answers: Tensor) -> None:
        fault, *heard = answers.tolist() if answers.dim() else [answers.item()]
        if fault:
            raise NonFiniteError(f"the {name}'s loss or gradient is not finite")
        if heard:
            self.stop_agreed = self.stop_agreed or heard[0] > 0
            self.seconds = heard[1] * self.world_size


def _clipped(parameters: Sequence[nn.Parameter], clip: float | None) -> Tensor | None:
    """Clip a player's gradient to a norm, and return the norm that it had; None where nothing is clipped."""
    if clip is None:
        return None
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    torch.nn.utils.clip_grads_with_norm_(parameters, clip, norm)
    return norm


def non_finite(loss: Tensor, gradients: Sequence[Tensor]) -> Tensor:
    """Whether the loss or any gradient holds a NaN or an infinity: 1 or 0, a float scalar on their device.

    The kernel is the gradient scaler's, at a scale of 1, which leaves the gradients as they are: one pass for all of
    them, a third of what their norm costs, and right for finite gradients whose squares overflow too.
    """
    found = (loss - loss).ne(0).float()  # NaN - NaN and inf - inf are NaN
    if gradients:
        torch._amp_foreach_non_finite_check_and_unscale_(list(gradients), found, torch.ones_like(found))
    return found


def _skip_where(optimizer: Optimizer, faults: Tensor) -> None:
    """Make the coming step do nothing where ``faults`` is 1, without waiting for the device."""
    if all(group.get("fused") for group in optimizer.param_groups):
        optimizer.found_inf = faults  # type: ignore[attr-defined]  # the fused kernels look for it
        optimizer.grad_scale = None  # type: ignore[attr-defined]
    elif faults:  # the others have no such switch: they wait
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None


def average_over_ranks(
    parameters: Sequence[nn.Parameter],
    buffers: Sequence[Tensor],
    loss: Tensor,
    world_size: int,
    notes: Sequence[float] = (),
) -> tuple[Tensor, Tensor]:
    """Average gradients, floating-point buffers and the loss over all ranks, in one flattened all-reduce.

    Returns:
        The averaged loss: if it is not finite on one rank it is so on all, so that all stop together. And the means of
        the ``notes``, float [len(notes)], which travel along for the same reason.
    """
    for parameter in parameters:
        if parameter.grad is None:  # a rank may not skip what another reduces
            parameter.grad = torch.zeros_like(parameter)
    tensors = [parameter.grad for parameter in parameters if parameter.grad is not None]
    tensors += [buffer for buffer in buffers if buffer.is_floating_point()]
    # Filled in on the device: a tensor made here and copied there would make the host wait for all that came before.
    head = [loss.float().reshape(1), *(loss.new_full((1,), note, dtype=torch.float32) for note in notes)]
    flat = torch.cat([*head, *(tensor.flatten().float() for tensor in tensors)])
    dist.all_reduce(flat)
    flat /= world_size
    first = 1 + len(notes)
    parts = flat[first:].split([tensor.numel() for tensor in tensors])
    torch._foreach_copy_(tensors, [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)])
    return flat[0], flat[1:first]
