"""Resizing and standardizing the inputs of networks, as torch-fidelity does."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.transforms.functional import normalize


class Standardized(nn.Module):
    """A network on RGB images of any size.

    Args:
        network: maps standardized images [N, 3, S, S] to features [N, F].
        side: S, to which images are resized by the bilinear interpolation of TensorFlow 1.
        mean: of the channels, in [0, 1].
        std: standard deviations of the channels.
    """

    def __init__(self, network: nn.Module, side: int, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network, self.side = network, side
        self.mean, self.std = [255 * value for value in mean], [255 * value for value in std]

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """Return the features [N, F] of uint8 images [N, 3, H, W]."""
        from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

        x = interpolate_bilinear_2d_like_tensorflow1x(images.float(), size=(self.side, self.side), align_corners=False)
        return (self.network(normalize(x, self.mean, self.std)).float(),)
