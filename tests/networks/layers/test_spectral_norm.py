"""Spectral normalization against singular values from LAPACK and finite differences."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from saddlepoint.networks.layers.spectral_norm import ImprovedSpectralNorm, SpectralNorm, apply_spectral_norm
from saddlepoint.networks.layers.statistics import frozen_statistics

LAYERS = {
    "linear": (lambda: nn.Linear(20, 12), (5, 20)),
    "conv": (lambda: nn.Conv2d(6, 10, 3, padding=1), (2, 6, 8, 8)),
    "one output": (lambda: nn.Linear(30, 1), (5, 30)),
    "transposed": (lambda: nn.ConvTranspose2d(6, 10, 4, 2, 1), (2, 6, 4, 4)),
    "channels last": (lambda: nn.Conv2d(6, 10, 3).to(memory_format=torch.channels_last), (2, 6, 8, 8)),
}


def as_matrix(weight: Tensor, transposed: bool) -> np.ndarray:
    weight = weight.detach().float().cpu().contiguous().numpy()
    return (weight.swapaxes(0, 1) if transposed else weight).reshape(weight.shape[1 if transposed else 0], -1)


def vector(layer: nn.Module) -> Tensor:
    return layer.parametrizations.weight[0].u


@pytest.mark.parametrize("name", LAYERS)
def test_converges_to_the_largest_singular_value(name: str) -> None:
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    layer = make()
    original = as_matrix(layer.weight, name == "transposed").copy()
    apply_spectral_norm(layer)
    x = torch.randn(shape)
    for _ in range(300):
        layer(x)
    normalized = as_matrix(layer.eval().weight, name == "transposed")
    assert abs(np.linalg.svd(normalized, compute_uv=False)[0] - 1) < 1e-3
    expected = original / np.linalg.svd(original, compute_uv=False)[0]
    np.testing.assert_allclose(normalized, expected, rtol=2e-3)


def test_the_first_forward_is_already_accurate() -> None:
    torch.manual_seed(0)
    for _ in range(20):
        layer = apply_spectral_norm(nn.Conv2d(32, 64, 3))
        largest = np.linalg.svd(as_matrix(layer.weight, False), compute_uv=False)[0]
        assert 1 - 1e-4 <= largest < 1.1  # uᵀWv never exceeds σ


def test_embedding_is_normalized_and_module_is_returned() -> None:
    embedding = nn.Embedding(7, 5)
    assert apply_spectral_norm(embedding) is embedding
    for _ in range(300):
        embedding(torch.tensor([1]))
    assert abs(np.linalg.svd(embedding.eval().weight.detach().numpy(), compute_uv=False)[0] - 1) < 1e-3


def test_power_iteration_runs_only_in_training_mode() -> None:
    torch.manual_seed(0)
    layer = apply_spectral_norm(nn.Linear(20, 12))
    x = torch.randn(3, 20)
    start = vector(layer).clone()
    layer(x)
    moved = vector(layer).clone()
    assert not torch.equal(start, moved)
    layer.eval()(x)
    assert torch.equal(vector(layer), moved)
    layer.train()
    with frozen_statistics(layer):
        frozen = layer(x)
        assert torch.equal(vector(layer), moved)
    # A frozen forward divides by the same estimate as the next training forward.
    assert torch.equal(layer(x), frozen)
    assert not torch.equal(vector(layer), moved)


def test_cached_forwards_share_one_iteration() -> None:
    torch.manual_seed(0)
    layer = apply_spectral_norm(nn.Linear(20, 12))
    start = vector(layer).clone()
    with parametrize.cached():
        layer(torch.randn(3, 20))
        once = vector(layer).clone()
        layer(torch.randn(3, 20))
    assert not torch.equal(start, once)
    assert torch.equal(vector(layer), once)


def test_gradient_is_that_of_the_exact_normalization() -> None:
    # After convergence of u, uᵀWv is σ(W) and its derivative u vᵀ is that of σ, compared with autograd through the SVD.
    torch.manual_seed(0)
    layer = apply_spectral_norm(nn.Linear(6, 4, bias=False).double())
    for _ in range(3000):
        layer(torch.randn(1, 6, dtype=torch.float64))
    target = torch.randn(4, 6, dtype=torch.float64)
    (layer.weight * target).sum().backward()
    original = layer.parametrizations.weight.original
    exact = original.detach().clone().requires_grad_()
    (exact / torch.linalg.svdvals(exact)[0] * target).sum().backward()
    np.testing.assert_allclose(original.grad, exact.grad, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("transposed", [False, True])
def test_second_derivatives_with_u_and_v_constant(transposed: bool) -> None:
    torch.manual_seed(0)
    weight = torch.randn(3, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    norm = SpectralNorm(weight, transposed)
    matrix = weight.detach().transpose(0, 1).flatten(1) if transposed else weight.detach().flatten(1)
    v = nn.functional.normalize(matrix.t() @ norm.u, dim=0)
    u = nn.functional.normalize(matrix @ v, dim=0)

    def by_hand(w: Tensor) -> Tensor:
        return w / (u @ (w.transpose(0, 1).flatten(1) if transposed else w.flatten(1)) @ v)

    def second(f: nn.Module) -> Tensor:
        (first,) = torch.autograd.grad(f(weight).pow(3).sum(), weight, create_graph=True)
        return torch.autograd.grad(first.square().sum(), weight)[0]

    assert torch.autograd.gradgradcheck(by_hand, (weight,))
    with frozen_statistics(norm):
        np.testing.assert_allclose(second(norm), second(by_hand), rtol=1e-10)


def test_float32_under_autocast_and_for_half_weights() -> None:
    torch.manual_seed(0)
    layer = apply_spectral_norm(nn.Conv2d(6, 10, 3)).eval()
    exact = layer.weight
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer.weight, exact)
        assert layer(torch.randn(2, 6, 8, 8)).dtype == torch.bfloat16
    norm = SpectralNorm(exact.detach().bfloat16())
    assert norm.u.dtype == torch.float32
    assert norm(exact.detach().bfloat16()).dtype == torch.bfloat16


def test_state_dict_round_trip_and_repeated_application() -> None:
    torch.manual_seed(0)
    layer = apply_spectral_norm(apply_spectral_norm(nn.Linear(5, 4)))
    assert set(layer.state_dict()) == {"bias", "parametrizations.weight.original", "parametrizations.weight.0.u"}
    other = apply_spectral_norm(nn.Linear(5, 4))
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.eval().weight, layer.eval().weight)


def test_same_seed_same_vector() -> None:
    weight = torch.randn(8, 9)
    vectors = []
    for _ in range(2):
        torch.manual_seed(5)
        vectors.append(SpectralNorm(weight).u)
    assert torch.equal(*vectors)


@pytest.mark.parametrize("name", LAYERS)
def test_improved_normalization_keeps_the_initial_norm(name: str) -> None:
    torch.manual_seed(0)
    layer = LAYERS[name][0]()
    original = layer.weight.detach().clone()
    apply_spectral_norm(layer, ImprovedSpectralNorm)
    np.testing.assert_allclose(layer.weight.detach(), original, rtol=1e-5, atol=1e-7)
    with torch.no_grad():
        layer.parametrizations.weight.original.mul_(3)
    np.testing.assert_allclose(layer.weight.detach(), original, rtol=1e-5, atol=1e-7)
    with torch.no_grad():
        layer.parametrizations.weight.original.add_(torch.randn_like(original))
    for _ in range(300):
        layer(torch.randn(LAYERS[name][1]))
    largest = np.linalg.svd(as_matrix(layer.eval().weight, name == "transposed"), compute_uv=False)[0]
    expected = np.linalg.svd(as_matrix(original, name == "transposed"), compute_uv=False)[0]
    np.testing.assert_allclose(largest, expected, rtol=1e-3)
