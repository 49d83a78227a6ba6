"""Transformer blocks against naive loops, and the Lipschitz bound of L2 attention."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear

from saddlepoint.errors import UserError
from saddlepoint.networks.layers.transformer import (
    Attention,
    ClassToken,
    Positions,
    RelativeBias,
    SelfModulatedNorm,
    TransformerBlock,
    attend,
    distance_scores,
    dot_scores,
    merge_windows,
    shuffle_up,
    split_heads,
    split_windows,
    to_map,
    to_tokens,
)


def weights(layer: nn.Linear) -> np.ndarray:
    return layer.weight.detach().numpy()


@pytest.mark.parametrize("score", ["dot", "l2"])
def test_attention_against_loops_over_heads_and_tokens(score: str) -> None:
    torch.manual_seed(0)
    layer = Attention(6, 2, score, grid=(2, 3)).double()  # type: ignore[arg-type]
    nn.init.normal_(layer.bias.table)  # type: ignore[union-attr]
    x = torch.randn(2, 6, 6, dtype=torch.float64)
    bias = layer.bias().detach().numpy()  # type: ignore[misc]
    expected = np.zeros((2, 6, 6))
    for n, tokens in enumerate(x.numpy()):
        q, v = tokens @ weights(layer.query).T, tokens @ weights(layer.value).T
        k = q if layer.key is None else tokens @ weights(layer.key).T
        for head in range(2):
            part = slice(3 * head, 3 * head + 3)
            for i in range(6):
                dots = [q[i, part] @ k[j, part] for j in range(6)]
                distances = [((q[i, part] - k[j, part]) ** 2).sum() for j in range(6)]
                scores = (np.array(dots) if score == "dot" else -np.array(distances)) / math.sqrt(3) + bias[head, i]
                expected[n, i, part] = np.exp(scores) @ v[:, part] / np.exp(scores).sum()
    expected = expected @ weights(layer.output).T + layer.output.bias.detach().numpy()
    np.testing.assert_allclose(layer(x).detach(), expected, rtol=1e-10)


def test_the_score_of_a_token_with_itself_is_the_largest() -> None:
    torch.manual_seed(0)
    layer = Attention(8, 2, "l2")
    scores = layer.scores(3 * torch.randn(4, 5, 8)).detach()
    assert scores.max() <= 1e-4
    diagonal = scores.diagonal(dim1=-2, dim2=-1)
    np.testing.assert_allclose(diagonal, 0, atol=1e-4)
    assert (scores.argmax(-1) == torch.arange(5)).all()
    dot = Attention(8, 2).scores(torch.randn(4, 5, 8))
    assert (dot.argmax(-1) != torch.arange(5)).any()


def test_with_queries_of_equal_norms_distances_give_the_attention_of_twice_the_products() -> None:
    torch.manual_seed(0)
    q = nn.functional.normalize(torch.randn(2, 3, 7, 4, dtype=torch.float64), dim=-1)
    values = torch.randn(2, 3, 7, 5, dtype=torch.float64)
    found = attend(distance_scores(q, q), values)
    np.testing.assert_allclose(found, attend(2 * dot_scores(q, q), values), rtol=1e-10)


def jacobian_norm(function: nn.Module, x: Tensor) -> float:
    """Return the largest singular value of the Jacobian at tokens [1, L, D]."""
    jacobian = torch.autograd.functional.jacobian(function, x)
    return float(torch.linalg.matrix_norm(jacobian.reshape(x.numel(), x.numel()), 2))


@pytest.mark.parametrize("heads", [1, 2])
def test_l2_attention_satisfies_its_lipschitz_bound_and_dot_product_attention_does_not(heads: int) -> None:
    """Kim et al. 2021, theorem 3.2, where values are X A_h W_V with A_h = W_Q W_Qᵀ / √d.

    Lip₂ ≤ √N / √d (4 φ⁻¹(N - 1) + 1) √(Σ_h ‖W_Q‖² ‖W_V‖²) ‖W_O‖ with φ(x) = x exp(x + 1).
    """
    torch.manual_seed(0)
    N, D = 5, 4
    d = D // heads
    layer, dot = Attention(D, heads, "l2").double(), Attention(D, heads).double()
    own = torch.randn(heads, D, d, dtype=torch.float64)  # the paper's W_V
    with torch.no_grad():
        nn.init.normal_(layer.query.weight)
        queries = layer.query.weight.T.reshape(D, heads, d).transpose(0, 1)  # the paper's W_Q, [heads, D, d]
        values = queries @ queries.transpose(1, 2) / math.sqrt(d) @ own
        layer.value.weight.copy_(values.transpose(0, 1).reshape(D, D).T)
    inverse = brentq(lambda x: x * math.exp(x + 1) - (N - 1), 0, N)
    norms = torch.linalg.matrix_norm(queries, 2) * torch.linalg.matrix_norm(own, 2)
    output = torch.linalg.matrix_norm(layer.output.weight, 2)
    bound = float(math.sqrt(N / d) * (4 * inverse + 1) * norms.square().sum().sqrt().detach() * output.detach())
    largest, of_dot = 0.0, []
    for scale in (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0):
        points = [scale * torch.randn(1, N, D, dtype=torch.float64) for _ in range(5)]
        largest = max(largest, *(jacobian_norm(layer, x) for x in points))
        for x in points:
            x[:, 0] = 0  # its scores are equal, so that its gradient is the covariance of the other tokens
        of_dot.append(max(jacobian_norm(dot, x) for x in points))
    assert 0.05 * bound < largest <= bound
    assert of_dot[-1] > 1e4 * of_dot[2]


def test_a_window_as_large_as_the_grid_is_full_attention() -> None:
    torch.manual_seed(0)
    full = Attention(8, 2, grid=(4, 6))
    windows = Attention(8, 2, grid=(4, 6), window=(4, 6))
    windows.load_state_dict(full.state_dict())
    x = torch.randn(3, 24, 8)
    assert torch.equal(full(x), windows(x))
    folded = merge_windows(split_windows(x, (4, 6), (4, 6)), (4, 6), (4, 6))
    assert torch.equal(folded, x)


def test_tokens_see_only_their_own_window() -> None:
    torch.manual_seed(0)
    layer = Attention(8, 2, grid=(4, 6), window=(2, 3))
    x = torch.randn(1, 24, 8)
    with torch.no_grad():
        before = to_map(layer(x), (4, 6))
        x[0, 2 * 6 + 1] += 1  # row 2, column 1
        changed = (to_map(layer(x), (4, 6)) - before).abs().amax((0, 1)) > 0
    expected = torch.zeros(4, 6, dtype=torch.bool)
    expected[2:, :3] = True
    assert torch.equal(changed, expected)
    numbers = torch.arange(24.0).reshape(1, 24, 1)
    assert split_windows(numbers, (4, 6), (2, 3))[2, :, 0].tolist() == [12, 13, 14, 18, 19, 20]
    assert torch.equal(merge_windows(split_windows(numbers, (4, 6), (2, 3)), (4, 6), (2, 3)), numbers)


def test_relative_biases_by_loops() -> None:
    height, width = 3, 4
    bias = RelativeBias(2, (height, width))
    assert bias.table.shape == (5 * 7, 2)
    bias.table.data = torch.arange(70.0).reshape(35, 2)
    found = bias()
    seen = set()
    for i in range(12):
        for j in range(12):
            down, right = i // width - j // width, i % width - j % width
            expected = bias.table[(down + height - 1) * (2 * width - 1) + right + width - 1]
            assert torch.equal(found[:, i, j], expected)
            seen.add((down, right))
    assert len(seen) == 35  # all of the table is used


def test_equal_tokens_stay_equal_without_positions() -> None:
    torch.manual_seed(0)
    layer = Attention(8, 4, grid=(3, 3))
    nn.init.zeros_(layer.bias.table)  # type: ignore[union-attr]
    y = layer(torch.randn(2, 1, 8).expand(2, 9, 8)).detach()
    np.testing.assert_allclose(y, y[:, :1].expand_as(y), atol=1e-6)
    np.testing.assert_allclose(layer.scores(torch.randn(2, 9, 8)).softmax(-1).sum(-1).detach(), 1, rtol=1e-5)


def test_a_block_with_zero_output_layers_is_the_identity() -> None:
    torch.manual_seed(0)
    block = TransformerBlock(8, Attention(8, 2, "l2"))
    x = torch.randn(2, 5, 8)
    assert not torch.allclose(block(x), x)
    for layer in (block.attention.output, block.mlp[-1]):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    assert torch.equal(block(x), x)


def test_self_modulated_norm_with_zero_maps_is_layer_norm() -> None:
    torch.manual_seed(0)
    norm, x, w = SelfModulatedNorm(6, 3), 2 + 3 * torch.randn(2, 5, 6), torch.randn(2, 3)
    gain, bias = linear(w, norm.affine.weight, norm.affine.bias).chunk(2, 1)
    centered = x - x.mean(-1, keepdim=True)
    normal = centered / (centered.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    np.testing.assert_allclose(norm(x, w).detach(), (normal * (1 + gain[:, None]) + bias[:, None]).detach(), atol=1e-5)
    nn.init.zeros_(norm.affine.weight)
    assert torch.equal(norm(x, w), layer_norm(x, (6,)))


def test_positions_and_class_tokens() -> None:
    x = torch.randn(3, 4, 6)
    token, positions = ClassToken(6), Positions(5, 6)
    y = positions(token(x))
    np.testing.assert_allclose(y[1, 0].detach(), (token.vector + positions.vectors[0]).detach())
    np.testing.assert_allclose(y[:, 1:].detach(), (x + positions.vectors[1:]).detach())
    assert 0.005 < token.vector.std() < 0.04


def test_pixel_shuffles_by_loops() -> None:
    x = torch.randn(2, 6, 8)
    up = to_map(shuffle_up(x, (2, 3)), (4, 6))
    for row in range(4):
        for column in range(6):
            token = x[:, row // 2 * 3 + column // 2]
            assert torch.equal(up[:, :, row, column], token[:, row % 2 * 2 + column % 2 :: 4])
    assert torch.equal(to_tokens(to_map(x, (2, 3))), x)
    assert torch.equal(split_heads(x, 2)[:, 1], x[:, :, 4:])


@pytest.mark.parametrize("score", ["dot", "l2"])
def test_second_derivatives(score: str) -> None:
    torch.manual_seed(0)
    block = TransformerBlock(4, Attention(4, 2, score, grid=(2, 2), window=(1, 2))).double()  # type: ignore[arg-type]
    x = torch.randn(1, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(block, (x,))


@pytest.mark.parametrize("score", ["dot", "l2"])
def test_scores_are_float32_under_autocast(score: str) -> None:
    torch.manual_seed(0)
    layer, x = Attention(64, 1, score), torch.randn(2, 9, 64)  # type: ignore[arg-type]
    expected = layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer.scores(x).dtype == torch.float32
        found = layer(x)
    assert found.dtype == torch.bfloat16
    np.testing.assert_allclose(found.float().detach(), expected.detach(), atol=0.03)


def test_heads_divide_the_width() -> None:
    with pytest.raises(UserError, match="heads: 4 heads do not divide a width of 6"):
        Attention(6, 4)
