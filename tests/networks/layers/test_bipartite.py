"""Bipartite attention against naive loops and its invariances."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.networks.layers.bipartite import BipartiteAttention, LatentAttention, sinusoids

KINDS: dict[str, dict[str, Any]] = {
    "simplex": {"kind": "simplex"},
    "duplex": {"kind": "duplex"},
    "k-means": {"kind": "duplex", "iterations": 3},
}
GRID = (3, 4)


def build(kind: str, heads: int = 1, count: int = 5) -> BipartiteAttention:
    torch.manual_seed(0)
    layer = BipartiteAttention(6, 4, count, GRID, heads=heads, **KINDS[kind]).double().eval()
    if layer.key is None:
        nn.init.normal_(layer.weight)
    return layer


def inputs(count: int = 5) -> tuple[Tensor, Tensor]:
    return torch.randn(2, 6, *GRID, dtype=torch.float64), torch.randn(2, count, 4, dtype=torch.float64)


def softmax(scores: np.ndarray) -> np.ndarray:
    weights = np.exp(scores - scores.max())
    return np.asarray(weights / weights.sum())


def array(tensor: Tensor) -> np.ndarray:
    return np.asarray(tensor.detach().numpy())


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_features_by_loops_over_pixels_and_latents(kind: str, heads: int) -> None:
    layer, (x, latents) = build(kind, heads), inputs()
    x_found, weights_found = layer(x, latents)
    d = 6 // heads
    places = array(layer.place(layer.places))
    for n in range(2):
        pixels = array(x[n]).reshape(6, 12).T
        own = array(layer.query(torch.from_numpy(pixels)))
        values, context = array(layer.value(latents[n])), np.zeros((12, 6))
        for head in range(heads):
            part = slice(head * d, head * d + d)
            if layer.key is not None:
                keys = array(layer.key(latents[n]) + layer.positions)[:, part]
                scores = (own + places)[:, part] @ keys.T
                weights = np.stack([softmax(row / math.sqrt(d)) for row in scores])
            else:
                f = np.concatenate([own[:, part], places[:, part]], 1)
                centroids = array(layer.centroids[head])
                for iteration in range(layer.iterations):
                    if iteration:
                        for j in range(5):
                            centroids[j] = sum(weights[i, j] * f[i] for i in range(12)) / weights[:, j].sum()
                    scores = f * array(layer.weight[head]) @ centroids.T
                    weights = np.stack([softmax(row / math.sqrt(d)) for row in scores])
                    centroids = centroids.copy()
            np.testing.assert_allclose(weights_found[n, head].detach(), weights, rtol=1e-6, atol=1e-9)
            context[:, part] = weights @ values[:, part]
        gain = 1 + array(layer.modulation(torch.from_numpy(context)))
        normal = pixels / np.sqrt((pixels**2).mean(1, keepdims=True) + 1e-8)
        np.testing.assert_allclose(array(x_found[n]).reshape(6, 12).T, normal * gain, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_a_pixel_sum_to_one(kind: str) -> None:
    layer, (x, latents) = build(kind, 2), inputs()
    weights = layer.weights(x, latents)
    assert weights.shape == (2, 2, 12, 5)
    np.testing.assert_allclose(weights.sum(-1).detach(), 1, rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_without_modulation_features_are_only_normalized(kind: str) -> None:
    layer, (x, latents) = build(kind), inputs()
    with torch.no_grad():
        layer.modulation.parametrizations.weight.original.zero_()
    found, _ = layer(x, latents)
    other, _ = layer(x, torch.randn_like(latents))
    expected = x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-10)
    assert torch.equal(found, other)


def test_the_order_of_latents_does_not_matter_without_positions() -> None:
    layer, (x, latents) = build("simplex"), inputs()
    order = torch.tensor([3, 0, 4, 1, 2])
    before, _ = layer(x, latents)
    assert not torch.allclose(layer(x, latents[:, order])[0], before)
    with torch.no_grad():
        layer.positions.zero_()
    before, weights = layer(x, latents)
    after, permuted = layer(x, latents[:, order])
    np.testing.assert_allclose(after.detach(), before.detach(), rtol=1e-10)
    np.testing.assert_allclose(permuted.detach(), weights[..., order].detach(), rtol=1e-10)


def test_latents_that_are_permuted_with_their_centroids_give_the_same_features() -> None:
    layer, (x, latents) = build("k-means"), inputs()
    order = torch.tensor([3, 0, 4, 1, 2])
    before, _ = layer(x, latents)
    with torch.no_grad():
        layer.centroids.copy_(layer.centroids[:, order])
    np.testing.assert_allclose(layer(x, latents[:, order])[0].detach(), before.detach(), rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_without_places_can_be_permuted(kind: str) -> None:
    layer, (x, latents) = build(kind), inputs()
    layer.places.zero_()
    order = torch.randperm(12)
    moved = x.flatten(2)[:, :, order].unflatten(2, GRID)
    expected = layer(x, latents)[0].flatten(2)[:, :, order].unflatten(2, GRID)
    np.testing.assert_allclose(layer(moved, latents)[0].detach(), expected.detach(), rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_latent_modulates_all_pixels_alike(kind: str) -> None:
    layer, (x, latents) = build(kind, count=1), inputs(1)
    found, weights = layer(x, latents)
    gain = 1 + layer.modulation(layer.value(latents[:, 0]))
    np.testing.assert_allclose(found.detach(), (layer.norm(x) * gain[:, :, None, None]).detach(), rtol=1e-10)
    assert torch.equal(weights, torch.ones_like(weights))


def test_dropout_keeps_the_mean_and_removes_elements_and_latents() -> None:
    torch.manual_seed(0)
    layer = BipartiteAttention(4, 4, 50, (40, 50), dropout=0.4).train()
    dropped = layer._dropped(torch.ones(1, 1, 2000, 50))
    columns = dropped.amax(2).flatten()
    np.testing.assert_allclose(dropped[..., columns > 0].gt(0).float().mean(), 0.8, atol=0.01)
    assert 0.05 < columns.eq(0).float().mean() < 0.4
    np.testing.assert_allclose(dropped.max(), 1 / 0.8**2, rtol=1e-5)
    assert torch.equal(layer.eval()._dropped(dropped), dropped)


def test_sinusoids() -> None:
    places = sinusoids((4, 8), 8).unflatten(0, (4, 8))
    assert places.shape == (4, 8, 8)
    assert torch.equal(places[:, 0, :4], places[:, 5, :4])
    assert torch.equal(places[0, :, 4:], places[3, :, 4:])
    # rows: wavelengths of 8 and 4 pixels; columns: of 16 and 4
    row, column = 2.5, 6.5
    angles = [2 * math.pi * row / 8, 2 * math.pi * row / 4, 2 * math.pi * column / 16, 2 * math.pi * column / 4]
    expected = [wave(angle) for angle in angles for wave in (math.sin, math.cos)]
    np.testing.assert_allclose(places[2, 6], expected, atol=1e-5)
    assert sinusoids((1, 3), 5).shape == (3, 5)
    assert len(sinusoids((4, 4), 8).unique(dim=0)) == 16


def test_attention_among_latents_by_a_loop() -> None:
    torch.manual_seed(0)
    layer, y = LatentAttention(4, 3, 0.01).double(), torch.randn(2, 3, 4, dtype=torch.float64)
    found = layer(y)
    for n in range(2):
        q, k, v = layer.query(y[n] + layer.positions), layer.key(y[n] + layer.positions), layer.value(y[n])
        for i in range(3):
            weights = torch.stack([q[i] @ k[j] / 2 for j in range(3)]).softmax(0)
            expected = y[n, i] + layer.modulation(sum(weights[j] * v[j] for j in range(3)))
            np.testing.assert_allclose(found[n, i].detach(), expected.detach(), rtol=1e-6, atol=1e-8)


def test_heads_divide_the_features() -> None:
    with pytest.raises(UserError, match="heads: 4 heads do not divide 6 features"):
        BipartiteAttention(6, 4, 5, GRID, heads=4)
