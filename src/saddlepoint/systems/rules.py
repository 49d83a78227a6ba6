"""The update rules of optimizers as differentiable functions, for players that look ahead."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from saddlepoint.errors import UserError

State = list[dict[str, Any]]
"""What a rule keeps of each parameter from step to step, in the parameters' order."""


class Rule(ABC):
    """How an optimizer turns gradients into new weights, such that the new weights can be differentiated.

    Args:
        optimizer: whose settings, learning rate and state are taken; it is left as it is.

    Raises:
        UserError: the optimizer has a setting that the rule does not know.
    """

    refused: ClassVar[tuple[str, ...]]
    """Settings that change the rule in ways not written here; all are off by default."""

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
        """Return the optimizer's present state of its ``parameters``, copied."""
        copied: State = []
        for parameter in parameters:
            kept = self.optimizer.state.get(parameter, {})
            own = {key: value.detach().clone() if isinstance(value, Tensor) else value for key, value in kept.items()}
            copied.append({"group": self.settings[id(parameter)], **own})
        return copied

    def step(self, weights: Sequence[Tensor], gradients: Sequence[Tensor], state: State) -> list[Tensor]:
        """Return the weights after one step; ``state`` moves on, new tensors in the old ones' places."""
        return [self.move(w, g, s, s["group"]) for w, g, s in zip(weights, gradients, state, strict=True)]

    @abstractmethod
    def move(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
        """Return one weight after one step."""


class SGDRule(Rule):
    """Stochastic gradient descent with momentum, as ``torch.optim.SGD`` has it."""

    refused = ("maximize",)

    def move(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
        """Return w - lr·d, d the momentum's average of the gradients."""
        if group["weight_decay"]:
            gradient = gradient + group["weight_decay"] * weight
        if momentum := group["momentum"]:
            average = state.get("momentum_buffer")
            new = gradient if average is None else momentum * average + (1 - group["dampening"]) * gradient
            state["momentum_buffer"] = new
            gradient = gradient + momentum * new if group["nesterov"] else new
        return weight - group["lr"] * gradient


class AdamRule(Rule):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980, algorithm 1), as ``torch.optim.Adam`` has it."""

    refused = ("maximize", "amsgrad")
    decoupled: ClassVar[bool] = False
    """Whether weight decay shrinks the weights themselves (Loshchilov & Hutter 2019), rather than join the gradient."""

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
        # A fused optimizer counts on its device: the count stays there, for reading it would wait. In double precision,
        # as in PyTorch: in float32 1 - β₂ would keep five digits.
        step = torch.as_tensor(state.get("step", 0.0))
        step = (step if step.device.type == "mps" else step.double()) + 1
        mean = beta1 * state.get("exp_avg", zero) + (1 - beta1) * gradient
        square = beta2 * state.get("exp_avg_sq", zero) + (1 - beta2) * gradient.square()
        state |= {"step": step, "exp_avg": mean, "exp_avg_sq": square}
        # The root's slope at zero is infinite; where no gradient ever came there is no step, and none to differentiate.
        root = torch.where(square > 0, square, 1).sqrt().where(square > 0, 0)
        rate, spread = lr / (1 - beta1**step), (1 - beta2**step) ** 0.5
        denominator = root / spread.to(root.dtype) + group["eps"]
        moved: Tensor = weight - rate.to(mean.dtype) * mean / denominator
        return moved


class AdamWRule(AdamRule):
    """Adam with decoupled weight decay, as ``torch.optim.AdamW`` has it."""

    decoupled = True


RULES: dict[type[Optimizer], type[Rule]] = {
    torch.optim.SGD: SGDRule,
    torch.optim.Adam: AdamRule,
    torch.optim.AdamW: AdamWRule,
}


def rule_of(optimizer: Optimizer) -> Rule:
    """Return the rule of an optimizer.

    Raises:
        UserError: none is known.
    """
    rule = RULES.get(type(optimizer))
    if rule is None:
        known = ", ".join(kind.__name__ for kind in RULES)
        raise UserError(
            f"unrolling cannot differentiate {type(optimizer).__name__}", "optimizers.discriminator", f"use {known}"
        )
    return rule(optimizer)
