"""Logged singular values, against NumPy's decomposition of the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from saddlepoint.callbacks.singular_values import SingularValues, largest
from saddlepoint.networks.layers.equalized import equalize
from saddlepoint.networks.layers.matrices import weight_matrix
from saddlepoint.networks.layers.modulated import ModulatedConv2d
from saddlepoint.networks.layers.spectral_norm import apply_spectral_norm
from saddlepoint.tracking.local import LocalLogger
from saddlepoint.tracking.record import RunRecord
from saddlepoint.writing import read_json_lines


@pytest.mark.parametrize("shape", [(3, 20), (20, 3), (5, 5)], ids=str)
def test_values_are_those_of_the_decomposition(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, dtype=torch.float64)
    expected = np.linalg.svd(matrix.numpy(), compute_uv=False)[:3]
    np.testing.assert_allclose(largest(matrix, 3).numpy(), expected, rtol=1e-7)


def test_weights_are_matrices_of_outputs() -> None:
    torch.manual_seed(0)
    convolution, transposed = nn.Conv2d(2, 5, 3), nn.ConvTranspose2d(5, 2, 3)
    transposed.weight = nn.Parameter(convolution.weight.detach().transpose(0, 1).clone())
    assert torch.equal(weight_matrix(convolution), weight_matrix(transposed))
    before = largest(weight_matrix(convolution), 1)
    torch.testing.assert_close(largest(weight_matrix(apply_spectral_norm(convolution)), 1), before)


def test_weights_with_an_equalized_rate_are_scaled() -> None:
    layer = equalize(nn.Linear(4, 3), gain=1, multiplier=0.01)
    assert torch.equal(weight_matrix(layer), layer.weight)
    torch.testing.assert_close(weight_matrix(layer), layer.parametrizations.weight.original * 0.01 / 2)
    modulated = ModulatedConv2d(2, 5, 3, style_dim=4)
    torch.testing.assert_close(weight_matrix(modulated), modulated.weight.view(5, 18) / 18**0.5)


def test_rows_hold_the_values_of_every_weight(play: Any, directory: Path) -> None:
    record = RunRecord(directory, [LocalLogger(directory)])
    overrides = ("budget.images=128", "network=dcgan", "network.attention=[4]")
    system = play([SingularValues(record, top=2, every_images=64)], *overrides)
    rows = read_json_lines(directory / "history.jsonl")
    assert [row["images_seen"] for row in rows] == [0, 64, 128]
    weight = system.networks["generator"].project.weight.detach().numpy()
    expected = np.linalg.svd(weight, compute_uv=False)
    for index in (1, 2):
        assert rows[-1][f"singular_values_{index}/generator.project"] == pytest.approx(expected[index - 1], rel=1e-5)
    gains = [key for key in rows[0] if key.startswith("attention_gain/")]
    assert [rows[0][key] for key in gains] == [0.0, 0.0]
    assert all(rows[-1][key] != 0 for key in gains)
