"""The optimizer step: backward pass, all-reduce, check for non-finite values, gradient clipping, weight update.

Lightning's optimizer wrapper is not used, since it counts the step of every player as a global step and takes a third
of the time of a small network's turn.
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
    """A loss or gradient is NaN or infinite. The weights have not been updated with it."""


class Stepper:
    """Performs optimizer steps, in any precision and on any number of ranks.

    Args:
        scaler: gradient scaler for fp16, or None.
        world_size: number of ranks.
        rank: index of this rank.

    Attributes:
        stop_requested: whether this rank has received a request to stop.
        stop_agreed: whether any rank had received one at the last all-reduce; the same on all ranks.
        clock: returns this rank's training time in seconds.
        seconds: rank 0's training time at the last all-reduce, the same on all ranks; None on a single rank.
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
        """Accumulate the gradients of a loss, in the precision of the forward pass.

        Autocast is disabled because it would cast the backward pass of operations that ran in float32, including the
        second derivatives of penalties.
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
        """Update the weights with the accumulated gradients.

        If the loss or a gradient is not finite, no weights are updated. With a gradient scaler, an overflow in the
        gradient of one player skips only that player's update.

        Args:
            name: name of the player or players, for error messages.
            optimizers: one optimizer per player.
            parameters: parameters of each optimizer.
            loss: total loss of the turn, a detached scalar.
            clips: maximum norm of each player's gradient, or None.
            buffers: running statistics, which are averaged over ranks together with the gradients.

        Returns:
            The norm of each player's gradient before clipping, a scalar on the device, or None without clipping.

        Raises:
            NonFiniteError: the loss or a gradient is not finite. On a GPU, the error is raised in a later step, so that
                the host does not wait for the device.
        """
        everything = [parameter for own in parameters for parameter in own]
        if self.world_size > 1:
            payload = (float(self.stop_requested), self.clock() if self.rank == 0 else 0.0)
            loss, received = average_over_ranks(everything, buffers, loss, self.world_size, payload)
        else:
            received = None
        # The scaler handles non-finite gradients itself: it skips the step and reduces the scale.
        if self.scaler is not None:
            for optimizer in optimizers:
                self.scaler.unscale_(optimizer)
            faults = non_finite(loss, [])
        else:
            faults = non_finite(loss, [p.grad for p in everything if p.grad is not None])
        self._check(name, faults, received)
        norms = [_clipped(own, clip) for own, clip in zip(parameters, clips, strict=True)]
        if self.scaler is not None:
            for optimizer in optimizers:
                self.scaler.step(optimizer)
            self.scaler.update()
        else:
            for optimizer in optimizers:
                if faults.device.type == "cuda":
                    _skip_where(optimizer, faults)
                optimizer.step()
        return norms

    def _check(self, name: str, faults: Tensor, received: Tensor | None) -> None:
        results = faults if received is None else torch.cat([faults.reshape(1), received])
        if faults.device.type != "cuda":
            self._read(name, results)
            return
        # Results are copied to the host asynchronously and read in the next step, by when the copy is complete.
        for earlier, result, arrived in self._pending:
            arrived.synchronize()
            self._read(earlier, result)
        copied = results.to("cpu", non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        self._pending = [(name, copied, arrived)]

    def settle(self) -> None:
        """Check the result of the last step before a checkpoint is saved; on a GPU it is otherwise read a step later.

        The stop request and the training time are not read here, since all ranks must read them after the same step.

        Raises:
            NonFiniteError: the loss or a gradient of the last step was not finite. Running statistics and the state of
                parts may contain non-finite values.
        """
        for name, result, arrived in self._pending:
            arrived.synchronize()
            self._read(name, result.flatten()[0])

    def _read(self, name: str, results: Tensor) -> None:
        fault, *received = results.tolist() if results.dim() else [results.item()]
        if fault:
            raise NonFiniteError(f"the {name}'s loss or gradient is not finite")
        if received:
            self.stop_agreed = self.stop_agreed or received[0] > 0
            self.seconds = received[1] * self.world_size


def _clipped(parameters: Sequence[nn.Parameter], clip: float | None) -> Tensor | None:
    """Clip the norm of a gradient in place, and return the norm before clipping; None without clipping."""
    if clip is None:
        return None
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    torch.nn.utils.clip_grads_with_norm_(parameters, clip, norm)
    return norm


def non_finite(loss: Tensor, gradients: Sequence[Tensor]) -> Tensor:
    """Return 1 if the loss or any gradient has a NaN or infinite value, else 0; a float scalar on their device.

    It uses the kernel of the gradient scaler with a scale of 1, which does not change the gradients. That takes a third
    of the time of computing their norm, and is correct for finite gradients whose squares overflow.
    """
    found = (loss - loss).ne(0).float()  # NaN - NaN and inf - inf are NaN
    if gradients:
        torch._amp_foreach_non_finite_check_and_unscale_(list(gradients), found, torch.ones_like(found))
    return found


def _skip_where(optimizer: Optimizer, faults: Tensor) -> None:
    """Make the next step do nothing if ``faults`` is 1; fused optimizers do not wait for the device."""
    if all(group.get("fused") for group in optimizer.param_groups):
        optimizer.found_inf = faults  # type: ignore[attr-defined]  # read by the fused kernels
        optimizer.grad_scale = None  # type: ignore[attr-defined]
    elif faults:  # synchronizes with the device
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None


def average_over_ranks(
    parameters: Sequence[nn.Parameter],
    buffers: Sequence[Tensor],
    loss: Tensor,
    world_size: int,
    payload: Sequence[float] = (),
) -> tuple[Tensor, Tensor]:
    """Average gradients, floating-point buffers and the loss over all ranks, in one flattened all-reduce.

    Args:
        parameters: parameters whose gradients are averaged in place.
        buffers: buffers that are averaged in place.
        loss: a detached scalar.
        world_size: number of ranks.
        payload: other numbers to average.

    Returns:
        The averaged loss, which is not finite on any rank if it is not finite on one, so that all ranks stop together;
        and the averaged payload, float [len(payload)].
    """
    for parameter in parameters:
        if parameter.grad is None:  # all ranks must reduce the same tensors
            parameter.grad = torch.zeros_like(parameter)
    tensors = [parameter.grad for parameter in parameters if parameter.grad is not None]
    tensors += [buffer for buffer in buffers if buffer.is_floating_point()]
    # new_full creates the values on the device; copying them from the host would synchronize.
    head = [loss.float().reshape(1), *(loss.new_full((1,), number, dtype=torch.float32) for number in payload)]
    flat = torch.cat([*head, *(tensor.flatten().float() for tensor in tensors)])
    dist.all_reduce(flat)
    flat /= world_size
    first = 1 + len(payload)
    parts = flat[first:].split([tensor.numel() for tensor in tensors])
    torch._foreach_copy_(tensors, [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)])
    return flat[0], flat[1:first]
