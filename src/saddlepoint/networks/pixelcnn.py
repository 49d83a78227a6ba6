"""PixelCNN, and the gated PixelCNN, whose receptive field has no blind spot.

van den Oord et al. 2016, "Pixel Recurrent Neural Networks", arXiv:1601.06759, section 3.5, table 1 and figure 5 (left).
van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders", arXiv:1606.05328, section 2: gated.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import conv2d, relu

from saddlepoint.networks.layers.masked import MaskedConv2d, Scan, window
from saddlepoint.networks.layers.pixels import PixelLayers, PixelLikelihood


class PixelCNNDecoder(PixelLayers):
    """Masked convolutions of the whole image, from which each pixel's distribution given those before is read."""

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        hidden: PositiveInt = 128,
        layers: PositiveInt = 15,
        output_features: PositiveInt = 1024,
        likelihood: PixelLikelihood = "categorical",
        gated: bool = False,
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W) of any size.
            hidden: h, the number of features inside a residual block, which has 2h outside; of a gated layer, the
                number of features of each stack.
            layers: number of residual blocks, or of gated layers.
            output_features: number of features between the two last convolutions.
            likelihood: ``bernoulli``, for binary images, or ``categorical``, over 256 intensities.
            gated: whether to use gated layers with a vertical and a horizontal stack instead of residual blocks.
        """
        super().__init__(shape, hidden if gated else 2 * hidden, output_features, likelihood)
        self.layers = (GatedLayers if gated else ResidualLayers)(hidden, self.shape[0], layers)

    def layers_of(self, images: Tensor, scan: Scan | None) -> Tensor:
        """See :meth:`PixelLayers.layers_of`."""
        features: Tensor = self.layers(images, scan)
        return features


class ResidualLayers(nn.Module):
    """A 7×7 convolution with mask A, and residual blocks."""

    def __init__(self, hidden: int, channels: int, layers: int) -> None:
        super().__init__()
        self.input = MaskedConv2d(channels, 2 * hidden, 7, "A", channels)
        self.blocks = nn.ModuleList(ResidualBlock(hidden, channels) for _ in range(layers))

    def forward(self, images: Tensor, scan: Scan | None = None) -> Tensor:
        """Map images [N, C, H, W] to features [N, 2h, H, W]; with a scan, [N, 2h, 1, 1]."""
        features: Tensor = self.input(images) if scan is None else self.input.at(images, scan)
        for block in self.blocks:
            features = block(features, scan)
        return features


class ResidualBlock(nn.Module):
    """x + f(x), where f is 1×1 to h features, 3×3 with mask B, and 1×1 back to 2h, each after a ReLU (figure 5)."""

    def __init__(self, hidden: int, channels: int) -> None:
        super().__init__()
        self.reduce = MaskedConv2d(2 * hidden, hidden, channels=channels)
        self.convolve = MaskedConv2d(hidden, hidden, 3, channels=channels)
        self.expand = MaskedConv2d(hidden, 2 * hidden, channels=channels)

    def forward(self, features: Tensor, scan: Scan | None = None) -> Tensor:
        """Map [N, 2h, H, W] to [N, 2h, H, W]; with a scan, at one pixel."""
        inner = relu(self.reduce(relu(features), scan))
        return features + self.expand(relu(self.convolve(inner, scan)), scan)


class GatedLayers(nn.Module):
    """Two stacks of gated convolutions (figure 2): the vertical one sees the rows above, the horizontal one the row.

    Their receptive fields together are all pixels before, without the blind spot of a stack of masked convolutions.
    """

    def __init__(self, hidden: int, channels: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(GatedLayer(hidden, channels, first=layer == 0) for layer in range(layers + 1))

    def forward(self, images: Tensor, scan: Scan | None = None) -> Tensor:
        """Map images [N, C, H, W] to features [N, h, H, W]; with a scan, [N, h, 1, 1]."""
        if scan is None:
            from_above = self.vertical(images, None)
        else:
            from_above = scan.once_per_row(self, lambda: self.vertical(images, scan))
        features = images
        for layer, above in zip(self.layers, from_above, strict=True):
            features = layer.horizontal(features, above, scan)  # type: ignore[operator]
        return features

    def vertical(self, images: Tensor, scan: Scan | None) -> list[Tensor]:
        """Return the input of each layer's horizontal stack from the rows above; with a scan, of its row."""
        features, to_horizontal = images, []
        for layer in self.layers:
            features, sent = layer.vertical(features, scan)  # type: ignore[operator]
            to_horizontal.append(sent)
        return to_horizontal


class GatedLayer(nn.Module):
    """A layer of both stacks, each with the gate y = tanh(W_f * x) ⊙ σ(W_g * x) (equation 2)."""

    def __init__(self, hidden: int, channels: int, first: bool = False) -> None:
        """Build the layer.

        Args:
            hidden: number of features of each stack.
            channels: number of channels of the image.
            first: whether the input is the image, which is masked (7×7, mask A, no residual connection).
        """
        super().__init__()
        self.first, inputs, size = first, channels if first else hidden, 7 if first else 3
        self.rows = RowsAbove(inputs, 2 * hidden, size, strictly=first)
        self.down = nn.Conv2d(2 * hidden, 2 * hidden, 1)
        self.row = MaskedConv2d(inputs, 2 * hidden, size, "A" if first else "B", channels, rows=1, gates=2)
        self.output = MaskedConv2d(hidden, hidden, channels=channels)

    def vertical(self, features: Tensor, scan: Scan | None) -> tuple[Tensor, Tensor]:
        """Return the output of the vertical stack, and what it sends to the horizontal one.

        Args:
            features: of the vertical stack, or images, [N, F, H, W]; with a scan, of its row, [N, F, 1, W].
            scan: the current row.
        """
        maps = self.rows(features, scan)
        return gate(maps), self.down(maps)

    def horizontal(self, features: Tensor, above: Tensor, scan: Scan | None) -> Tensor:
        """Return the output of the horizontal stack.

        Args:
            features: of the horizontal stack, or images, [N, F, H, W]; with a scan, at its pixel, [N, F, 1, 1].
            above: from the vertical stack, likewise.
            scan: the current pixel.
        """
        maps = self.row(features, scan) if scan is None or not self.first else self.row.at(features, scan)
        output: Tensor = self.output(gate(maps + above), scan)
        return output if self.first else features + output


class RowsAbove(nn.Conv2d):
    """A convolution over the rows above a pixel; unless ``strictly``, its input's own row is included."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, strictly: bool) -> None:
        half = kernel_size // 2
        rows = half if strictly else half + 1
        super().__init__(inputs, outputs, (rows, kernel_size), padding=(rows - 1 + strictly, half))
        self.strictly = strictly

    def forward(self, input: Tensor, scan: Scan | None = None) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H, W]; with a scan, to the output of its row, [N, outputs, 1, W]."""
        if scan is None:
            return super().forward(input)[:, :, : input.shape[2]]
        maps = input if self.strictly else scan.keep(self, input)
        rows, columns = self.kernel_size
        bottom, half = scan.row + (not self.strictly), columns // 2
        return conv2d(window(maps, (bottom - rows, bottom), (-half, scan.width + half)), self.weight, self.bias)


def gate(maps: Tensor) -> Tensor:
    """Return tanh(f) ⊙ σ(g) of the two halves of maps [N, 2h, H, W]."""
    f, g = maps.chunk(2, 1)
    return f.tanh() * g.sigmoid()
