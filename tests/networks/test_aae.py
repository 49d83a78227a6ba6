"""The perceptrons of the adversarial autoencoder against formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.networks import AAEDecoder, AAEEncoder, CategoryDiscriminator, CodeDiscriminator

SHAPE = (1, 2, 3)


def hidden(network: Any, x: Tensor) -> Tensor:
    """Return the activations of two hidden layers with ReLU."""
    for layer in (network.trunk[0], network.trunk[2]):
        x = (x @ layer.weight.T + layer.bias).clamp(min=0)
    return x


def linear(layer: Any, x: Tensor) -> Tensor:
    return x @ layer.weight.T + layer.bias


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_of_the_mnist_networks() -> None:
    shape = (1, 28, 28)
    common = 1001 * 1000  # of the second hidden layer
    assert count(AAEEncoder(shape, 8)) == 785 * 1000 + common + 1001 * 8
    assert count(AAEEncoder(shape, 10, labels="semi", num_classes=10)) == 785 * 1000 + common + 1001 * 20
    assert count(AAEDecoder(shape, 10, labels="semi", num_classes=10)) == 21 * 1000 + common + 1001 * 784
    assert count(CodeDiscriminator(2, labels="prior", num_classes=10)) == 14 * 1000 + common + 1001
    assert count(CategoryDiscriminator(labels="semi", num_classes=10)) == 11 * 1000 + common + 1001


def test_networks_by_hand() -> None:
    torch.manual_seed(0)
    x, z, y = torch.rand(7, *SHAPE) * 2 - 1, torch.randn(7, 4), torch.randn(7, 3).softmax(1)
    encoder = AAEEncoder(SHAPE, 4, 5, "semi", 3)
    style, logits = encoder(x)
    torch.testing.assert_close(style, linear(encoder.style, hidden(encoder, x.flatten(1))))
    torch.testing.assert_close(logits, linear(encoder.class_logits, hidden(encoder, x.flatten(1))))
    assert AAEEncoder(SHAPE, 4, 5, "none", 3)(x).class_logits is None
    decoder, code = AAEDecoder(SHAPE, 4, 5, "semi", 3), torch.cat([z, y], 1)
    expected = 2 * torch.sigmoid(linear(decoder.output, hidden(decoder, code))) - 1
    torch.testing.assert_close(decoder(code), expected.view(7, *SHAPE))
    critic = CodeDiscriminator(4, 5)
    torch.testing.assert_close(critic(z).features, hidden(critic, z))
    torch.testing.assert_close(critic(z).logits, linear(critic.logits, hidden(critic, z))[:, 0])
    torch.testing.assert_close(critic(z, torch.zeros(7).long()).logits, critic(z).logits)  # labels are ignored


def test_a_critic_with_labels_takes_one_more_for_unknown_classes() -> None:
    torch.manual_seed(0)
    critic, z, labels = CodeDiscriminator(4, 5, "prior", 3), torch.randn(4, 4), torch.arange(4)
    joined = torch.cat([z, torch.eye(4)], 1)
    torch.testing.assert_close(critic(z, labels).features, hidden(critic, joined))


@pytest.mark.parametrize(
    "build",
    [
        lambda: AAEEncoder(SHAPE, 4, labels="semi"),
        lambda: AAEDecoder(SHAPE, 4, labels="semi"),
        lambda: CodeDiscriminator(4, labels="prior"),
        lambda: CategoryDiscriminator(labels="semi"),
    ],
)
def test_data_without_labels_are_rejected(build: Any) -> None:
    with pytest.raises(UserError) as refused:
        build()
    assert str(refused.value).startswith("labels: '")


def test_points_are_rejected() -> None:
    with pytest.raises(UserError, match="supports only images"):
        AAEEncoder((2,), 4)
