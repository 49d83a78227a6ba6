"""Differentiable update rules of optimizers, for unrolling."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from saddlepoint.errors import UserError

State = list[dict[str, Any]]
"""The optimizer state of each parameter, in the order of the parameters."""


class Rule(ABC):
    """Base class of differentiable update rules.

    Args:
        optimizer: the optimizer whose hyperparameters and state are used; it is not modified.

    Raises:
        UserError: the optimizer has an option that the rule does not support.
    """

    refused: ClassVar[tuple[str, ...]]
    """Names of unsupported options, all of which are off by default."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.settings = {id(p): group for group in optimizer.param_groups for p in group["params"]}
        for name in self.refused:
            if any(group.get(name) for group in optimizer.param_groups):
                raise UserError(
                    f"unrolling cannot differentiate {type(optimizer).__name__} with {name}",
                    "optimizers.discriminator",
                    f"leave {name} out",
                )

    def start(self, parameters: Sequence[nn.Parameter]) -> State:
        """Return a copy of the optimizer's current state of ``parameters``."""
        copied: State = []
        for parameter in parameters:
            kept = self.optimizer.state.get(parameter, {})
            own = {key: value.detach().clone() if isinstance(value, Tensor) else value for key, value in kept.items()}
            copied.append({"group": self.settings[id(parameter)], **own})
        return copied

    def step(self, weights: Sequence[Tensor], gradients: Sequence[Tensor], state: State) -> list[Tensor]:
        """Return the weights after one step, and update ``state`` with new tensors."""
        return [self.move(w, g, s, s["group"]) for w, g, s in zip(weights, gradients, state, strict=True)]

    @abstractmethod
    def move(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
        """Return the weight after one step, and update ``state``."""


class SGDRule(Rule):
    """Stochastic gradient descent with momentum, as in ``torch.optim.SGD``."""

    refused = ("maximize",)

    def move(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
        """Return w - lr·d, where d is the gradient or its momentum average."""
        if group["weight_decay"]:
            gradient = gradient + group["weight_decay"] * weight
        if momentum := group["momentum"]:
            average = state.get("momentum_buffer")
            new = gradient if average is None else momentum * average + (1 - group["dampening"]) * gradient
            state["momentum_buffer"] = new
            gradient = gradient + momentum * new if group["nesterov"] else new
        return weight - group["lr"] * gradient


class AdamRule(Rule):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980, algorithm 1), as in ``torch.optim.Adam``."""

    refused = ("maximize", "amsgrad")
    decoupled: ClassVar[bool] = False
    """Whether weight decay is decoupled from the gradient (Loshchilov & Hutter 2019)."""

    def move(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
        """Return w - lr·m̂ / (√v̂ + ε)."""
        decay, lr = group["weight_decay"], group["lr"]
        decoupled = self.decoupled or group.get("decoupled_weight_decay", False)
        if decay and decoupled:
            weight = weight * (1 - lr * decay)
        elif decay:
            gradient = gradient + decay * weight
        beta1, beta2 = group["betas"]
        zero = torch.zeros_like(gradient)
        # The step count of a fused optimizer is on the device, where it stays to avoid a synchronization. In double
        # precision, as in PyTorch, since 1 - β₂ would have only five correct digits in float32.
        step = torch.as_tensor(state.get("step", 0.0))
        step = (step if step.device.type == "mps" else step.double()) + 1
        mean = beta1 * state.get("exp_avg", zero) + (1 - beta1) * gradient
        square = beta2 * state.get("exp_avg_sq", zero) + (1 - beta2) * gradient.square()
        state |= {"step": step, "exp_avg": mean, "exp_avg_sq": square}
        # The derivative of the square root is infinite at 0. Where all gradients so far were 0, the step and its
        # derivative are 0.
        root = torch.where(square > 0, square, 1).sqrt().where(square > 0, 0)
        rate, spread = lr / (1 - beta1**step), (1 - beta2**step) ** 0.5
        denominator = root / spread.to(root.dtype) + group["eps"]
        moved: Tensor = weight - rate.to(mean.dtype) * mean / denominator
        return moved


class AdamWRule(AdamRule):
    """Adam with decoupled weight decay, as in ``torch.optim.AdamW``."""

    decoupled = True


RULES: dict[type[Optimizer], type[Rule]] = {
    torch.optim.SGD: SGDRule,
    torch.optim.Adam: AdamRule,
    torch.optim.AdamW: AdamWRule,
}


def rule_of(optimizer: Optimizer) -> Rule:
    """Return the update rule of an optimizer.

    Raises:
        UserError: the type of optimizer is not supported.
    """
    rule = RULES.get(type(optimizer))
    if rule is None:
        known = ", ".join(kind.__name__ for kind in RULES)
        raise UserError(
            f"unrolling cannot differentiate {type(optimizer).__name__}", "optimizers.discriminator", f"use {known}"
        )
    return rule(optimizer)
