"""Row LSTM and Diagonal BiLSTM.

van den Oord et al. 2016, "Pixel Recurrent Neural Networks", arXiv:1601.06759, sections 3.1 to 3.3, table 1 and figure 5
(right). With the input-to-state convolution K^is with mask B and the state-to-state convolution K^ss (equation 3):

    [o, f, i, g] = σ(K^ss * h_{i-1} + K^is * x_i)        (tanh instead of σ for g)
    c_i = f ⊙ c_{i-1} + i ⊙ g
    h_i = o ⊙ tanh(c_i)

The initial states are learned, as in section 5.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import conv1d, pad

from saddlepoint.networks.layers.masked import MaskedConv2d, Scan, window
from saddlepoint.networks.layers.pixels import PixelLayers, PixelLikelihood


class PixelRNNLayers(PixelLayers):
    """A 7×7 convolution with mask A, and residual LSTM layers of a subclass."""

    lstm: type[nn.Module]

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        hidden: PositiveInt = 128,
        layers: PositiveInt = 12,
        output_features: PositiveInt = 1024,
        likelihood: PixelLikelihood = "categorical",
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W) of any size.
            hidden: h, the number of features of an LSTM's state; between the layers there are 2h.
            layers: number of LSTM layers.
            output_features: number of features between the two last convolutions.
            likelihood: ``bernoulli``, for binary images, or ``categorical``, over 256 intensities.
        """
        super().__init__(shape, 2 * hidden, output_features, likelihood)
        channels = self.shape[0]
        self.input = MaskedConv2d(channels, 2 * hidden, 7, "A", channels)
        self.layers = nn.ModuleList(self.lstm(hidden, channels) for _ in range(layers))

    def layers_of(self, images: Tensor, scan: Scan | None) -> Tensor:
        """See :meth:`PixelLayers.layers_of`."""
        features: Tensor = self.input(images) if scan is None else self.input.at(images, scan)
        for layer in self.layers:
            features = layer(features, scan)
        return features


class RowLSTM(nn.Module):
    """An LSTM from row to row, whose state-to-state convolution is 3×1 along the row (section 3.1).

    The state of a pixel depends on a triangle above it: 3 pixels of the row above, 5 of the row before that, and so on.
    """

    def __init__(self, hidden: int, channels: int) -> None:
        super().__init__()
        self.input_to_state = MaskedConv2d(2 * hidden, 4 * hidden, 3, channels=channels, rows=1, gates=4)
        self.state_to_state = nn.Conv1d(hidden, 4 * hidden, 3, padding=1, bias=False)
        self.initial = nn.Parameter(torch.zeros(2, hidden))
        self.expand = MaskedConv2d(hidden, 2 * hidden, channels=channels)

    def forward(self, features: Tensor, scan: Scan | None = None) -> Tensor:
        """Map [N, 2h, H, W] to [N, 2h, H, W]; with a scan, at one pixel."""
        inputs = self.input_to_state(features, scan)
        if scan is not None:
            return features + self.expand(self.step(inputs, scan), scan)
        n, _, _, width = features.shape  # len() would fix the batch size of exported graphs
        h, c = (state[None, :, None].expand(n, -1, width) for state in self.initial)
        states = []
        for row in inputs.unbind(2):
            h, c = lstm(row + self.state_to_state(h), c)
            states.append(h)
        return features + self.expand(torch.stack(states, 2))

    def step(self, inputs: Tensor, scan: Scan) -> Tensor:
        """Return the state at the scan's pixel, [N, h, 1, 1], of its inputs [N, 4h, 1, 1]."""
        if scan.row == 0:
            h, c = (state[None, :, None].expand(len(inputs), -1, scan.width) for state in self.initial)
        else:
            h, c = (scan.kept((self, name))[:, :, scan.row - 1] for name in ("h", "c"))
        columns = (scan.column - 1, scan.column + 2)
        near = window(h.unsqueeze(2), (0, 1), columns).squeeze(2)
        update = conv1d(near, self.state_to_state.weight)
        new_h, new_c = lstm(inputs.squeeze(2) + update, c[:, :, scan.column : scan.column + 1])
        scan.keep((self, "h"), new_h.unsqueeze(2))
        scan.keep((self, "c"), new_c.unsqueeze(2))
        return new_h.unsqueeze(2)


class DiagonalBiLSTM(nn.Module):
    """Two LSTMs along the diagonals of the image, from the upper left and from the upper right (section 3.2).

    The state of a pixel depends on those of its left (right) and upper neighbours. The state from the right is taken
    from the row above, since in the pixel's own row it depends on later pixels. Together, the states depend on
    all previous pixels (which the paper calls a full field), except for the last channel of the last pixel of the row
    above: mask A hides it from the features of that pixel, and there is no pixel to its right. Only pixels within 3
    columns depend on it, through the first convolution.
    """

    def __init__(self, hidden: int, channels: int) -> None:
        super().__init__()
        self.left = DiagonalLSTM(hidden, channels)
        self.right = DiagonalLSTM(hidden, channels)
        self.expand = MaskedConv2d(hidden, 2 * hidden, channels=channels)

    def forward(self, features: Tensor, scan: Scan | None = None) -> Tensor:
        """Map [N, 2h, H, W] to [N, 2h, H, W]; with a scan, at one pixel."""
        if scan is None:
            from_right = self.right(features.flip(3)).flip(3)
            state = self.left(features) + pad(from_right, (0, 0, 1, -1))
        else:
            state = self.left.step(features, scan)
            kept = scan.keep(self, features)
            if scan.row > 0:
                (above,) = scan.once_per_row(self, lambda: [self.row_from_right(kept, scan)])
                state = state + above
        return features + self.expand(state, scan)

    def row_from_right(self, features: Tensor, scan: Scan) -> Tensor:
        """Return the states from the right of the row above the scan's, [N, h, 1, W]."""
        place = scan.row, scan.column
        states = []
        for column, pixel in enumerate(features[:, :, scan.row - 1 : scan.row].flip(3).split(1, 3)):
            scan.row, scan.column = place[0] - 1, column
            states.append(self.right.step(pixel, scan))
        scan.row, scan.column = place
        return torch.cat(states, 3).flip(3)


class DiagonalLSTM(nn.Module):
    """An LSTM along the diagonals from the upper left, whose state-to-state convolution is 2×1 along the diagonal.

    The rows of the input are skewed by one pixel each, so that a diagonal becomes a column (figure 3).
    """

    def __init__(self, hidden: int, channels: int) -> None:
        super().__init__()
        self.input_to_state = MaskedConv2d(2 * hidden, 4 * hidden, channels=channels, gates=4)
        self.state_to_state = nn.Conv1d(hidden, 4 * hidden, 2, bias=False)
        self.initial = nn.Parameter(torch.zeros(2, hidden))

    def forward(self, features: Tensor) -> Tensor:
        """Map [N, 2h, H, W] to states [N, h, H, W]."""
        n, _, height, _ = features.shape
        inputs = skew(self.input_to_state(features))
        first_h, first_c = (state[None, :, None].expand(n, -1, height) for state in self.initial)
        h, c, states = first_h, first_c, []
        for diagonal, column in enumerate(inputs.unbind(3)):
            above = torch.cat([first_h[:, :, :1], h], 2)
            h, c = lstm(column + self.state_to_state(above), c)
            if diagonal + 1 < height:  # rows that begin at a later diagonal
                begun = torch.arange(height, device=h.device) <= diagonal
                h, c = torch.where(begun, h, first_h), torch.where(begun, c, first_c)
            states.append(h)
        return unskew(torch.stack(states, 3))

    def step(self, features: Tensor, scan: Scan) -> Tensor:
        """Return the state at the scan's pixel, [N, h, 1, 1], of its features [N, 2h, 1, 1]."""
        first_h, first_c = (state[None, :, None].expand(len(features), -1, 1) for state in self.initial)
        before, at = slice(scan.column - 1, scan.column), slice(scan.column, scan.column + 1)
        left_h, left_c, above_h = first_h, first_c, first_h
        if scan.column > 0:
            left_h, left_c = (scan.kept((self, name))[:, :, scan.row, before] for name in ("h", "c"))
        if scan.row > 0:
            above_h = scan.kept((self, "h"))[:, :, scan.row - 1, at]
        update = self.state_to_state(torch.cat([above_h, left_h], 2))
        h, c = lstm(self.input_to_state(features, scan).squeeze(2) + update, left_c)
        scan.keep((self, "h"), h.unsqueeze(2))
        scan.keep((self, "c"), c.unsqueeze(2))
        return h.unsqueeze(2)


class RowLSTMDecoder(PixelRNNLayers):
    """A PixelRNN of Row LSTM layers."""

    lstm = RowLSTM


class DiagonalBiLSTMDecoder(PixelRNNLayers):
    """A PixelRNN of Diagonal BiLSTM layers.

    Attributes:
        unrolls: True; the graph of an export would repeat the operations of every diagonal.
    """

    lstm = DiagonalBiLSTM
    unrolls = True


def lstm(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Return the new h and c, [N, h, …], of the sums [o, f, i, g], [N, 4h, …], and the previous c (equation 3)."""
    o, f, i, g = gates.chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def skew(maps: Tensor) -> Tensor:
    """Return maps [N, F, H, W] with row r shifted by r pixels to the right, [N, F, H, W + H - 1], with zeros around.

    >>> skew(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])).tolist()
    [[[[1.0, 2.0, 0.0], [0.0, 3.0, 4.0]]]]
    """
    height, width = maps.shape[2:]
    return pad(maps, (0, height)).flatten(2)[:, :, :-height].unflatten(2, (height, width + height - 1))


def unskew(maps: Tensor) -> Tensor:
    """Return maps [N, F, H, W] of skewed maps [N, F, H, W + H - 1]."""
    height, skewed = maps.shape[2:]
    return pad(maps.flatten(2), (0, height)).unflatten(2, (height, skewed + 1))[:, :, :, : skewed + 1 - height]
