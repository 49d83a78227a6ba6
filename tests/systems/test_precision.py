from __future__ import annotations

import torch
from torch import nn

from saddlepoint import randomness
from saddlepoint.networks import ResNetDiscriminator
from saddlepoint.regularizers import GradientPenalty
from saddlepoint.systems.stepping import Stepper
from saddlepoint.turns import Critic, Turn


def test_gradients_of_penalties_are_computed_in_float32_under_autocast() -> None:
    """Second derivatives are computed in the backward pass, which Lightning runs under autocast."""
    torch.manual_seed(0)
    critic = ResNetDiscriminator((1, 8, 8), 4)
    real, fake = torch.rand(6, 1, 8, 8), torch.rand(6, 1, 8, 8)

    def gradients(autocast: bool) -> list[torch.Tensor]:
        for parameter in critic.parameters():
            parameter.grad = None
        random = randomness.generator("cpu", 0, "penalty")
        networks = {"discriminator": critic}
        turn = Turn(torch.zeros(()), networks, random, real=real, fake=fake, critic=Critic(critic))
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            Stepper().backward(GradientPenalty().penalty(turn))
        return [p.grad for p in critic.parameters() if p.grad is not None]

    assert all(torch.equal(a, b) for a, b in zip(gradients(True), gradients(False), strict=True))


def test_backward_of_a_bf16_forward_is_computed_in_bf16() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(64, 64, bias=False), torch.randn(32, 64)
    with torch.autocast("cpu", torch.bfloat16):
        Stepper().backward(layer(x).float().square().sum())
    y = x.bfloat16() @ layer.weight.detach().bfloat16().t()
    expected = (2 * y.float()).bfloat16().t() @ x.bfloat16()
    torch.testing.assert_close(layer.weight.grad, expected.float())
