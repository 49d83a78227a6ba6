"""Layers that compare samples, against naive loops."""

import warnings

import numpy as np
import pytest
import torch

from saddlepoint.networks import DCGANDiscriminator, MLPDiscriminator, ResNetDiscriminator
from saddlepoint.networks.layers.minibatch import (
    MinibatchDiscrimination,
    MinibatchStdDev,
    Packing,
    make_minibatch,
    make_packing,
)
from saddlepoint.networks.layers.statistics import compares_samples


def test_minibatch_discrimination_sums_similarities_to_the_other_samples() -> None:
    torch.manual_seed(0)
    layer = MinibatchDiscrimination(6, kernels=4, kernel_dim=3)
    features = torch.randn(5, 6)
    ours = layer(features).detach().numpy()
    M = (features.numpy() @ layer.project.weight.detach().numpy().T).reshape(5, 4, 3)
    expected = np.zeros((5, 4))
    for i in range(5):
        for b in range(4):
            expected[i, b] = sum(np.exp(-np.abs(M[i, b] - M[j, b]).sum()) for j in range(5) if j != i)
    np.testing.assert_array_equal(ours[:, :6], features)
    np.testing.assert_allclose(ours[:, 6:], expected, rtol=1e-4, atol=1e-6)
    assert layer.outputs == 10


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 4, 2)])
def test_minibatch_stddev_is_the_mean_standard_deviation(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape)
    y = MinibatchStdDev()(x).numpy()
    expected = x.numpy().std(0).mean()
    assert y.shape == (5, 4, *shape[2:])
    np.testing.assert_array_equal(y[:, :3], x)
    np.testing.assert_allclose(y[:, 3], expected, rtol=1e-5)


@pytest.mark.parametrize(("n", "group", "size"), [(8, 4, 4), (6, 4, 3), (7, 4, 1), (2, 4, 2), (12, None, 12)])
def test_minibatch_stddev_in_strided_groups(n: int, group: int | None, size: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(n, 6, 2, 3, dtype=torch.float64)
    y = MinibatchStdDev(group, channels=2)(x).numpy()
    assert y.shape == (n, 8, 2, 3)
    for i in range(n):
        members = [j for j in range(n) if j % (n // size) == i % (n // size)]
        assert len(members) == size
        for channel in range(2):
            expected = x.numpy()[members, 3 * channel : 3 * channel + 3].std(0).mean()
            np.testing.assert_allclose(y[i, 6 + channel], expected, rtol=1e-12)


def test_equal_samples_have_a_finite_gradient() -> None:
    x = torch.ones(4, 3, requires_grad=True)
    MinibatchStdDev()(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.ones(4, 3))


def test_packing_concatenates_consecutive_samples() -> None:
    x = torch.arange(6.0 * 2 * 3 * 3).reshape(6, 2, 3, 3)
    packed = Packing(3)(x)
    assert packed.shape == (2, 6, 3, 3)
    for pack in range(2):
        for i in range(3):
            assert torch.equal(packed[pack, 2 * i : 2 * i + 2], x[3 * pack + i])
    assert torch.equal(Packing(2)(torch.arange(8.0).reshape(4, 2)), torch.arange(8.0).reshape(2, 4))


def test_surplus_samples_are_dropped_with_one_warning() -> None:
    layer, x = Packing(4), torch.randn(10, 3)
    with pytest.warns(UserWarning, match="batch size of 10 is not a multiple of the packing of 4; only the first 8"):
        assert torch.equal(layer(x), x[:8].reshape(2, 12))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(x)
    assert torch.equal(layer(x[:3]), torch.cat([x[:3], x[:1]]).reshape(1, 12))  # samples are repeated to fill the pack


def test_layers_that_compare_samples() -> None:
    for layer in (make_packing(2), make_minibatch("stddev", 3)[0], make_minibatch("discrimination", 3)[0]):
        assert compares_samples(layer)
    for layer in (make_packing(1), make_minibatch("none", 3)[0]):
        assert not compares_samples(layer)


CRITICS = {
    "dcgan": lambda **options: DCGANDiscriminator((1, 8, 8), width=4, norm="none", **options),
    "resnet": lambda **options: ResNetDiscriminator((1, 8, 8), width=4, **options),
    "mlp": lambda **options: MLPDiscriminator((1, 8, 8), hidden=[16], **options),
}


@pytest.mark.parametrize("kind", ["discrimination", "stddev"])
@pytest.mark.parametrize("family", CRITICS)
def test_a_critic_that_compares_samples_detects_equal_samples(family: str, kind: str) -> None:
    torch.manual_seed(0)
    critic, plain = CRITICS[family](minibatch=kind), CRITICS[family]()
    for parameter in (*critic.parameters(), *plain.parameters()):
        torch.nn.init.normal_(parameter)
    x = torch.rand(6, 1, 8, 8) * 2 - 1
    collapsed = x[:1].repeat(6, 1, 1, 1)
    assert compares_samples(critic)
    assert not compares_samples(plain)
    assert abs(critic(x).logits[0] - critic(collapsed).logits[0]) > 1e-3
    torch.testing.assert_close(plain(x).logits[0], plain(collapsed).logits[0])


@pytest.mark.parametrize("family", CRITICS)
def test_a_packed_critic_has_one_logit_per_pack(family: str) -> None:
    torch.manual_seed(0)
    critic = CRITICS[family](packing=2, conditioning="concat", num_classes=3)
    x, labels = torch.rand(6, 1, 8, 8) * 2 - 1, torch.tensor([0, 1, 2, 0, 1, 2])
    logits = critic(x, labels).logits
    assert logits.shape == (3,)
    torch.testing.assert_close(critic(x[2:4], labels[2:4]).logits, logits[1:2])
    assert not torch.isclose(critic(x[[2, 0]], labels[[2, 0]]).logits, logits[1:2]).any()
