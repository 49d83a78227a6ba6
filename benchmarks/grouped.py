"""Grouped 3×3 convolutions under a gradient penalty: other implementations against PyTorch's.

    OMP_NUM_THREADS=1 python benchmarks/grouped.py             # the sizes of R3GAN's blocks
    OMP_NUM_THREADS=1 python benchmarks/grouped.py --rounds 15

The penalty is the squared gradient of two convolutions with a leaky ReLU between them, with respect to their input; its
gradient with respect to their weights needs second derivatives of the convolutions. The implementations are run
alternately on one thread and measured in CPU time, in float32 and channels_last. Their gradients must be equal.

- dense: one convolution with a block-diagonal weight;
- unfolded: matrix products with the 3×3 neighborhoods of all pixels, batched over groups;
- closed: autograd functions for the three bilinear maps (output, gradient of the input, gradient of the weight), whose
  derivatives are these three maps again, where PyTorch's second derivative of the weight is a loop over the groups.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import conv2d, leaky_relu, unfold

Convolution = Callable[[Tensor, Tensor, int], Tensor]
SIZES = ((4, 1536, 96, 8), (2, 1536, 96, 16), (1, 1536, 96, 32), (32, 128, 8, 8), (32, 64, 4, 16), (32, 32, 2, 32))
"""Batch, channels, groups and side: of the networks for CIFAR-10, with small batches, and of experiment=quick/r3gan."""


def plain(x: Tensor, weight: Tensor, groups: int) -> Tensor:
    """PyTorch's convolution."""
    return conv2d(x, weight, padding=1, groups=groups)


def dense(x: Tensor, weight: Tensor, groups: int) -> Tensor:
    """A convolution with a block-diagonal weight."""
    blocks = weight.unflatten(0, (groups, -1))
    full = torch.eye(groups)[:, None, :, None, None, None] * blocks[:, :, None]
    return conv2d(x, full.flatten(2, 3).flatten(0, 1), padding=1)


def unfolded(x: Tensor, weight: Tensor, groups: int) -> Tensor:
    """Matrix products batched over samples and groups."""
    neighborhoods = unfold(x, 3, padding=1).unflatten(1, (groups, -1))
    return (weight.reshape(groups, len(weight) // groups, -1) @ neighborhoods).reshape(x.shape)


def backward(output: Tensor, x: Tensor, weight: Tensor, groups: int, which: int) -> Any:
    """Return the gradient with respect to the input (0) or the weight (1)."""
    ones, zeros, mask = [1, 1], [0, 0], [which == 0, which == 1, False]
    both = torch.ops.aten.convolution_backward(output, x, weight, None, ones, ones, ones, False, zeros, groups, mask)
    return both[which]


class Output(Function):
    """y of x and w."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, groups: int) -> Tensor:
        """Return y."""
        ctx.save_for_backward(x, weight)
        ctx.groups = groups
        return conv2d(x, weight, padding=1, groups=groups)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Return the gradients of both arguments, by the other two maps."""
        first, second = ctx.needs_input_grad[:2]
        x, weight = ctx.saved_tensors
        return (
            OfInput.apply(gradient, weight, ctx.groups) if first else None,
            OfWeight.apply(x, gradient, ctx.groups) if second else None,
            None,
        )


class OfInput(Function):
    """The gradient of the input, of the output's gradient and w."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, weight: Tensor, groups: int) -> Any:
        """Return the gradient."""
        ctx.save_for_backward(output, weight)
        ctx.groups = groups
        like = output.new_empty(()).expand(len(output), weight.shape[1] * groups, *output.shape[2:])
        return backward(output, like, weight, groups, 0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Return the gradients of both arguments, by the other two maps."""
        first, second = ctx.needs_input_grad[:2]
        output, weight = ctx.saved_tensors
        return (
            Output.apply(gradient, weight, ctx.groups) if first else None,
            OfWeight.apply(gradient, output, ctx.groups) if second else None,
            None,
        )


class OfWeight(Function):
    """The gradient of the weight, of x and the output's gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, output: Tensor, groups: int) -> Any:
        """Return the gradient."""
        ctx.save_for_backward(x, output)
        ctx.groups = groups
        like = output.new_empty(()).expand(output.shape[1], x.shape[1] // groups, 3, 3)
        return backward(output, x, like, groups, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Return the gradients of both arguments, by the other two maps."""
        first, second = ctx.needs_input_grad[:2]
        x, output = ctx.saved_tensors
        return (
            OfInput.apply(output, gradient, ctx.groups) if first else None,
            Output.apply(x, gradient, ctx.groups) if second else None,
            None,
        )


FORMS: dict[str, Convolution] = {"plain": plain, "dense": dense, "unfolded": unfolded, "closed": Output.apply}


def penalized(convolution: Convolution, x: Tensor, weights: tuple[Tensor, Tensor], groups: int) -> tuple[Tensor, ...]:
    """Return the gradient of the penalty with respect to both weights."""
    hidden = leaky_relu(convolution(x, weights[0], groups), 0.2)
    (gradient,) = torch.autograd.grad(convolution(hidden, weights[1], groups).square().sum(), x, create_graph=True)
    return torch.autograd.grad(gradient.square().sum(), weights)


def measure(n: int, channels: int, groups: int, side: int, rounds: int) -> None:
    """Print the row of a size."""
    torch.manual_seed(0)
    form = torch.channels_last
    x = torch.randn(n, channels, side, side).to(memory_format=form).requires_grad_()
    first, second = (torch.randn(channels, channels // groups, 3, 3) * (channels / groups * 9) ** -0.5 for _ in "12")
    weights = (first.to(memory_format=form).requires_grad_(), second.to(memory_format=form).requires_grad_())
    forms = {name: one for name, one in FORMS.items() if name != "dense" or groups <= 16}  # else too slow
    expected, difference = penalized(plain, x, weights, groups), 0.0
    times: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(rounds):
        for name, one in forms.items():
            begin = time.process_time()
            found = penalized(one, x, weights, groups)
            times[name].append(time.process_time() - begin)
            for ours, theirs in zip(found, expected, strict=True):
                difference = max(difference, float((ours - theirs).abs().max() / theirs.abs().max()))
    assert difference < 1e-4, difference
    ratios = {
        name: statistics.median(a / b for a, b in zip(times["plain"], own, strict=True)) for name, own in times.items()
    }
    cells = " | ".join(f"{ratios[name]:.2f}" if name in ratios else "" for name in FORMS if name != "plain")
    milliseconds = 1e3 * statistics.median(times["plain"])
    print(f"| {n}×{channels}×{side}×{side}, {groups} groups | {milliseconds:.0f} ms | {cells} | {difference:.0e} |")


def main() -> None:
    """Measure all sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| batch | plain | plain / dense | plain / unfolded | plain / closed | largest difference |")
    print("|---|---|---|---|---|---|")
    for size in SIZES:
        measure(*size, arguments.rounds)


if __name__ == "__main__":
    main()
