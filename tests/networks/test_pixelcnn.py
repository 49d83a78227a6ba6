"""PixelCNN, gated PixelCNN, Row LSTM and Diagonal BiLSTM: receptive fields, exactness, and one pixel at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.networks import DiagonalBiLSTMDecoder, PixelCNNDecoder, RowLSTMDecoder
from saddlepoint.networks.layers.masked import Scan
from saddlepoint.networks.layers.pixels import LEVELS, PixelLayers, drawn, intensities, nats_of
from saddlepoint.networks.pixelcnn import GatedLayers, ResidualLayers
from saddlepoint.networks.pixelrnn import DiagonalBiLSTM, DiagonalLSTM, RowLSTM, skew, unskew

Pixel = tuple[int, int, int]
"""Row, column and channel."""

NETWORKS: dict[str, Callable[..., PixelLayers]] = {
    "pixelcnn": PixelCNNDecoder,
    "gated": lambda *sizes, **more: PixelCNNDecoder(*sizes, **more, gated=True),
    "row_lstm": RowLSTMDecoder,
    "diagonal_bilstm": DiagonalBiLSTMDecoder,
}


def built(name: str, shape: tuple[int, int, int], likelihood: str = "bernoulli", layers: int = 2) -> PixelLayers:
    torch.manual_seed(0)
    network = NETWORKS[name](shape, 6, layers, 6, likelihood=likelihood).double()
    for path, parameter in network.named_parameters():
        if path.endswith("initial"):
            nn.init.normal_(parameter)
    return network


def seen_by(network: nn.Module, shape: tuple[int, int, int], at: Pixel) -> set[Pixel]:
    """The pixels with a gradient of the output at a pixel, for outputs [1, F, C, H, W] or [1, F, H, W]."""
    with torch.no_grad():
        for parameter in network.parameters():  # positive, so that no ReLU blocks a path and no two paths cancel
            parameter.abs_().clamp_(min=0.01)
    x = torch.rand(1, *shape, dtype=torch.float64, requires_grad=True)
    output, (row, column, channel) = network(x), at
    output = output[:, :, channel] if output.dim() == 5 else output
    (gradient,) = torch.autograd.grad(output[0, :, row, column].sum(), x)
    return {(r, c, k) for k, r, c in gradient[0].nonzero().tolist()}


def past(shape: tuple[int, int, int], at: Pixel) -> set[Pixel]:
    channels, height, width = shape
    return {pixel for pixel in itertools.product(range(height), range(width), range(channels)) if pixel < at}


@pytest.mark.parametrize("channels", [1, 3])
def test_gated_pixelcnn_depends_on_all_pixels_before_and_on_no_others(channels: int) -> None:
    shape = (channels, 4, 5)
    network = built("gated", shape)
    for at in itertools.product(range(4), range(5), range(channels)):
        assert seen_by(network, shape, at) == past(shape, at), at


@pytest.mark.parametrize("channels", [1, 3])
def test_diagonal_bilstm_depends_on_all_pixels_before_but_one(channels: int) -> None:
    shape = (channels, 4, 7)
    network = built("diagonal_bilstm", shape)
    for at in itertools.product(range(4), range(7), range(channels)):
        row, column, _ = at
        # Mask A hides it from the features of its own pixel, and there are no features to its right.
        last = {(row - 1, 6, channels - 1)} if column + 3 < 6 else set()
        assert seen_by(network, shape, at) == past(shape, at) - last, at


@pytest.mark.parametrize("channels", [1, 3])
def test_pixelcnn_has_a_blind_spot(channels: int) -> None:
    shape, layers = (channels, 7, 11), 2
    network = built("pixelcnn", shape, layers=layers)
    for at in itertools.product((0, 3, 6), (0, 4, 10), range(channels)):
        assert seen_by(network, shape, at) == field_of_pixelcnn(shape, at, layers), at
    assert (5, 9, 0) in past(shape, (6, 4, 0)) - seen_by(network, shape, (6, 4, 0))


def field_of_pixelcnn(shape: tuple[int, int, int], at: Pixel, layers: int) -> set[Pixel]:
    """The field by following the connections back: mask B of 3×3 pixels in each layer, then mask A of 7×7."""
    (channels, height, width), reached = shape, {at}

    def back(pixels: set[Pixel], half: int, own: bool) -> set[Pixel]:
        found = set()
        for row, column, channel in pixels:
            for r, c in itertools.product(range(row - half, row + 1), range(column - half, column + half + 1)):
                for k in range(channels) if 0 <= r < height and 0 <= c < width else ():
                    before = (r, c) < (row, column) or (
                        (r, c) == (row, column) and (k < channel or (own and k == channel))
                    )
                    found |= {(r, c, k)} if before else set()
        return found

    for _ in range(layers):
        reached = back(reached, 1, own=True)
    return back(reached, 3, own=False)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (3, 4), (5, 8), (5, 2)])
def test_row_lstm_sees_a_triangle(row: int, column: int) -> None:
    torch.manual_seed(0)
    layer = RowLSTM(6, 1).double()
    found = {(r, c) for r, c, _ in seen_by(layer, (12, 6, 9), (row, column, 0))}
    rows_above = {
        row - up: range(
            max(column - up - 1, 0), min(column + up, 8) + 1
        )  # one more on the left: the input's 3×1, mask B
        for up in range(row + 1)
    }
    assert found == {(r, c) for r, columns in rows_above.items() for c in columns}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("channels", [1, 3])
def test_probabilities_of_all_images_sum_to_one(name: str, channels: int) -> None:
    shapes = [(1, 2, 2), (1, 3, 3)] if channels == 1 else [(3, 1, 2), (3, 2, 1)]
    for shape in shapes:
        network, values = built(name, shape), shape[0] * shape[1] * shape[2]
        images = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=values)), dtype=torch.float64).view(-1, *shape)
        nats = nats_of(network(images), images).flatten(1).sum(1)
        assert nats.std() > 0.01
        assert nats.exp().sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_probabilities_of_intensities_sum_to_one(name: str) -> None:
    network = built(name, (2, 1, 1), "categorical")
    level = torch.arange(LEVELS, dtype=torch.float64) * 2 / 255 - 1
    first, second = torch.meshgrid(level, level, indexing="ij")
    images = torch.stack([first.flatten(), second.flatten()], 1).view(-1, 2, 1, 1)
    probabilities = torch.cat([nats_of(network(part), part).flatten(1).sum(1).exp() for part in images.split(4096)])
    assert probabilities.sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("channels", [1, 3])
def test_one_pixel_at_a_time_gives_the_same_logits(name: str, channels: int) -> None:
    network = built(name, (channels, 5, 6), "categorical")
    x = torch.rand(2, channels, 5, 6, dtype=torch.float64) * 2 - 1
    canvas = torch.rand_like(x)  # what comes after the pixel must not matter
    expected, scan = network(x), Scan(5, 6)
    with torch.no_grad():
        for scan.row, scan.column in itertools.product(range(5), range(6)):
            for channel in range(channels):
                logits = network(canvas, scan)[:, :, channel, 0, 0]
                torch.testing.assert_close(logits, expected[:, :, channel, scan.row, scan.column], rtol=0, atol=1e-12)
                canvas[:, channel, scan.row, scan.column] = x[:, channel, scan.row, scan.column]


def test_row_lstm_equals_a_loop_over_pixels() -> None:
    torch.manual_seed(0)
    layer = RowLSTM(3, 1).double()
    nn.init.normal_(layer.initial)
    x = torch.randn(2, 6, 4, 5, dtype=torch.float64)
    inputs, update = layer.input_to_state.masked_weight()[:, :, 0], layer.state_to_state.weight
    h = {(-1, c): layer.initial[0].expand(2, 3) for c in range(5)}
    cell = {(-1, c): layer.initial[1].expand(2, 3) for c in range(5)}
    for r, c in itertools.product(range(4), range(5)):
        gates = layer.input_to_state.bias + x[:, :, r, c] @ inputs[:, :, 1].T
        gates = gates + (x[:, :, r, c - 1] @ inputs[:, :, 0].T if c > 0 else 0)
        for tap in range(3):
            if 0 <= c + tap - 1 < 5:
                gates = gates + h[r - 1, c + tap - 1] @ update[:, :, tap].T
        h[r, c], cell[r, c] = one_lstm_step(gates, cell[r - 1, c])
    states = torch.stack([torch.stack([h[r, c] for c in range(5)], 2) for r in range(4)], 2)
    torch.testing.assert_close(layer(x), x + layer.expand(states))


def test_diagonal_bilstm_equals_a_loop_over_pixels() -> None:
    torch.manual_seed(0)
    layer = DiagonalBiLSTM(3, 1).double()
    for part in (layer.left, layer.right):
        nn.init.normal_(part.initial)
    x = torch.randn(2, 6, 4, 5, dtype=torch.float64)

    def states(part: DiagonalLSTM, step: int) -> dict[tuple[int, int], Tensor]:
        h: dict[tuple[int, int], Tensor] = {}
        cell: dict[tuple[int, int], Tensor] = {}
        start_h, start_cell = (state.expand(2, 3) for state in part.initial)
        for r in range(4):
            for c in range(5)[::step]:
                gates = x[:, :, r, c] @ part.input_to_state.weight[:, :, 0, 0].T + part.input_to_state.bias
                above, beside = h.get((r - 1, c), start_h), h.get((r, c - step), start_h)
                gates = gates + above @ part.state_to_state.weight[:, :, 0].T
                gates = gates + beside @ part.state_to_state.weight[:, :, 1].T
                h[r, c], cell[r, c] = one_lstm_step(gates, cell.get((r, c - step), start_cell))
        return h

    left, right = states(layer.left, 1), states(layer.right, -1)
    zero = torch.zeros(2, 3, dtype=torch.float64)
    both = {(r, c): left[r, c] + right.get((r - 1, c), zero) for r, c in left}
    stacked = torch.stack([torch.stack([both[r, c] for c in range(5)], 2) for r in range(4)], 2)
    torch.testing.assert_close(layer(x), x + layer.expand(stacked))


def one_lstm_step(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Equation 3 for one pixel, with PyTorch's LSTM cell, whose gates are in the order i, f, g, o."""
    o, f, i, g = gates.chunk(4, 1)
    reference = nn.LSTMCell(1, gates.shape[1] // 4, dtype=gates.dtype)
    with torch.no_grad():
        reference.weight_ih.zero_(), reference.weight_hh.zero_(), reference.bias_hh.zero_()
    results = []
    for row in range(len(gates)):
        with torch.no_grad():
            reference.bias_ih.copy_(torch.cat([i[row], f[row], g[row], o[row]]))
        results.append(reference(gates.new_zeros(1, 1), (cell[row : row + 1] * 0, cell[row : row + 1])))
    return torch.cat([h for h, _ in results]).detach(), torch.cat([c for _, c in results]).detach()


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 4, 7), (1, 2, 7, 4)])
def test_unskew_is_the_inverse_of_skew(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    skewed = skew(x)
    assert skewed.shape == (*shape[:3], shape[2] + shape[3] - 1)
    for row, column in itertools.product(range(shape[2]), range(skewed.shape[3])):
        inside = 0 <= column - row < shape[3]
        expected = x[:, :, row, column - row] if inside else torch.zeros(shape[:2])
        assert torch.equal(skewed[:, :, row, column], expected)
    assert torch.equal(unskew(skewed), x)


@pytest.mark.parametrize("channels", [1, 3])
def test_layers_are_those_of_table_1(channels: int) -> None:
    h, deep, out = 6, 3, 12
    network = PixelCNNDecoder((channels, 8, 8), h, deep, out)
    assert isinstance(network.layers, ResidualLayers)
    described = [
        (m.kernel_size[1], m.in_channels, m.out_channels) for m in network.layers.modules() if isinstance(m, nn.Conv2d)
    ]
    assert described == [(7, channels, 2 * h), *[(1, 2 * h, h), (3, h, h), (1, h, 2 * h)] * deep]
    assert [network.head.out_channels, network.logits.out_channels] == [out, channels * LEVELS]
    rows = RowLSTMDecoder((channels, 8, 8), h, deep, out, "bernoulli")
    first = rows.layers[0]
    assert isinstance(first, RowLSTM)
    assert (rows.input.kernel_size[1], first.input_to_state.kernel_size, first.state_to_state.kernel_size) == (
        7,
        (1, 3),
        (3,),
    )
    diagonals = DiagonalBiLSTMDecoder((channels, 8, 8), h, deep, out, "bernoulli").layers[0]
    assert isinstance(diagonals, DiagonalBiLSTM)
    assert diagonals.left.input_to_state.kernel_size == (1, 1)
    assert diagonals.left.state_to_state.kernel_size == (2,)
    assert rows.logits.out_channels == channels


def test_gated_layers_multiply_tanh_and_sigmoid() -> None:
    network = PixelCNNDecoder((1, 3, 3), 4, 1, 4, "bernoulli", gated=True).double()
    layers = network.layers
    assert isinstance(layers, GatedLayers)
    layer, x, above = layers.layers[1], torch.randn(1, 4, 3, 3).double(), torch.randn(1, 8, 3, 3).double()
    f, g = (layer.row(x) + above).chunk(2, 1)  # type: ignore[operator]
    expected = x + layer.output(torch.tanh(f) * torch.sigmoid(g))  # type: ignore[operator]
    torch.testing.assert_close(layer.horizontal(x, above, None), expected)  # type: ignore[operator]


def test_intensities_are_those_of_eight_bits() -> None:
    levels = torch.arange(256)
    images = levels / 127.5 - 1
    assert torch.equal(intensities(images), levels)
    assert torch.equal(intensities(images + 0.49 / 127.5), levels)


def test_draws_invert_the_distribution_function() -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, LEVELS, 1, dtype=torch.float64).expand(-1, -1, 10_000)
    uniform = (torch.arange(10_000, dtype=torch.float64) + 0.5).view(1, -1) / 10_000
    counts = intensities(drawn(logits, uniform)).flatten().bincount(minlength=LEVELS)
    torch.testing.assert_close(counts.double() / 10_000, logits[0, :, 0].softmax(0), rtol=0, atol=1.01e-4)
    white = drawn(torch.full((1, 1, 10_000), 0.3, dtype=torch.float64), uniform)
    assert (white == 1).double().mean() == pytest.approx(1 / (1 + 2.718281828**-0.3), abs=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_points_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="needs images"):
        NETWORKS[name]((2,), 4, 1, 4)
