"""Masked convolutions against loops over connections."""

from __future__ import annotations

import itertools

import pytest
import torch

from saddlepoint.networks.layers.masked import Mask, MaskedConv2d, Scan, groups, window


def connected(mask: Mask, before: tuple[int, int, int], after: tuple[int, int, int]) -> bool:
    """Whether the masks of section 3.4 keep a connection from (row, column, channel) to (row, column, channel)."""
    if before[:2] != after[:2]:
        return before[:2] < after[:2]
    return before[2] < after[2] or (mask == "B" and before[2] == after[2])


@pytest.mark.parametrize("mask", ["A", "B"])
@pytest.mark.parametrize(
    ("channels", "inputs", "outputs", "gates"), [(1, 2, 4, 1), (3, 3, 6, 1), (3, 6, 12, 2), (3, 4, 5, 1)]
)
def test_weights_are_masked_as_defined(mask: Mask, channels: int, inputs: int, outputs: int, gates: int) -> None:
    layer = MaskedConv2d(inputs, outputs, 5, mask, channels, gates=gates)
    torch.nn.init.ones_(layer.weight)
    kept = layer.masked_weight()
    assert kept.shape == (outputs, inputs, 3, 5)
    for o, i, r, c in itertools.product(range(outputs), range(inputs), range(3), range(5)):
        channel = o % (outputs // gates) * channels // (outputs // gates)
        expected = connected(mask, (r - 2, c - 2, i * channels // inputs), (0, 0, channel))
        assert kept[o, i, r, c] == expected, (o, i, r, c)


def test_a_mask_that_keeps_everything_is_none() -> None:
    assert MaskedConv2d(2, 4, 1, "B", 1).mask is None
    assert MaskedConv2d(2, 4, 1, "A", 1).mask is not None


@pytest.mark.parametrize(("size", "rows"), [(1, None), (3, None), (5, None), (3, 1)])
def test_equals_a_loop_over_pixels(size: int, rows: int | None) -> None:
    torch.manual_seed(0)
    layer = MaskedConv2d(2, 3, size, "B", rows=rows).double()
    x = torch.randn(2, 2, 4, 6, dtype=torch.float64)
    weight, half = layer.masked_weight(), size // 2
    height = weight.shape[2]
    expected = torch.zeros(2, 3, 4, 6, dtype=torch.float64)
    for r, c, a, b in itertools.product(range(4), range(6), range(height), range(size)):
        row, column = r + a - height + 1, c + b - half
        if 0 <= row < 4 and 0 <= column < 6:
            expected[:, :, r, c] += x[:, :, row, column] @ weight[:, :, a, b].T
    expected += layer.bias[:, None, None]
    torch.testing.assert_close(layer(x), expected)

    scan = Scan(4, 6)
    for scan.row, scan.column in itertools.product(range(4), range(6)):
        pixel = x[:, :, scan.row : scan.row + 1, scan.column : scan.column + 1]
        at_pixel = layer(pixel, scan)[:, :, 0, 0]
        torch.testing.assert_close(at_pixel, expected[:, :, scan.row, scan.column])


def test_features_are_divided_evenly() -> None:
    assert groups(7, 3).tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert groups(2, 1).tolist() == [0, 0]


def test_a_window_is_zero_outside() -> None:
    x = torch.arange(6.0).view(1, 1, 2, 3)
    assert window(x, (-1, 2), (1, 4)).tolist() == [[[[0, 0, 0], [1, 2, 0], [4, 5, 0]]]]
    assert window(x, (0, 1), (0, 2)).tolist() == [[[[0, 1]]]]
    assert window(x, (-1, 0), (0, 2)).tolist() == [[[[0, 0]]]]


def test_rows_are_computed_once() -> None:
    scan, calls = Scan(2, 3), []

    def compute() -> list[torch.Tensor]:
        calls.append(scan.row)
        return [torch.arange(3.0).view(1, 1, 1, 3) + 10 * scan.row]

    seen = []
    for scan.row, scan.column in itertools.product(range(2), range(3)):
        (pixel,) = scan.once_per_row("rows", compute)
        seen.append(pixel.item())
    assert calls == [0, 1]
    assert seen == [0, 1, 2, 10, 11, 12]
