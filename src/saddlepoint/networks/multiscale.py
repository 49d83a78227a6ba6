"""Multi-scale discriminators.

Wang et al. 2018, "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs", arXiv:1711.11585,
section 3.2: patch discriminators of the same architecture that see the image at several sizes. The paper has three, and
the published code halves images by 3×3 average pooling with stride 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from saddlepoint.networks.layers.norms import ImageNormKind
from saddlepoint.networks.patchgan import PatchDiscriminator
from saddlepoint.types import CriticOutput


class MultiScaleDiscriminator(nn.Module):
    """Patch discriminators of an image and of reduced images; see :class:`~saddlepoint.networks.PatchDiscriminator`.

    The maps of logits are enlarged to the size of the largest, by nearest-neighbour interpolation, and become the
    channels of one map, so that a loss, which is a mean over logits, weights all scales equally. The paper's loss is
    the sum over the scales.
    """

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        scales: PositiveInt = 3,
        condition_channels: NonNegativeInt = 0,
        receptive_field: Literal[1, 16, 34, 70, 142, 286] = 70,
        width: PositiveInt = 64,
        norm: ImageNormKind = "instance",
        spectral_norm: bool = False,
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W).
            scales: number of discriminators; each sees an image of half the size of the previous one.
            condition_channels: number of channels of the condition; 0 for no condition.
            receptive_field: side in px of a patch of the image that a discriminator sees.
            width: channels of the first layers.
            norm: normalization of every layer but the first and the last.
            spectral_norm: whether to divide every weight by its largest singular value.

        Raises:
            UserError: a map of logits would be empty.
        """
        super().__init__()
        channels, height, breadth = shape
        self.shape, self.condition_channels = tuple(shape), condition_channels
        sizes = [(height, breadth)]
        for _ in range(scales - 1):
            sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
        self.critics = nn.ModuleList(
            PatchDiscriminator((channels, *size), condition_channels, receptive_field, width, norm, spectral_norm)
            for size in sizes
        )

    def forward(self, samples: Tensor, condition: Tensor | None = None) -> CriticOutput:
        """Return logits [N, scales, h, w] and features [N, F], which are those of all scales.

        Args:
            samples: images [N, C, H, W].
            condition: images [N, condition_channels, H, W]; ignored if ``condition_channels`` is 0.
        """
        outputs = []
        for scale, critic in enumerate(self.critics):
            if scale:
                samples = halved(samples)
                condition = halved(condition) if self.condition_channels and condition is not None else None
            outputs.append(critic(samples, condition))
        size = outputs[0].logits.shape[2:]
        maps = [interpolate(output.logits, size, mode="nearest") for output in outputs]
        return CriticOutput(torch.cat(maps, 1), torch.cat([output.features for output in outputs], 1))


def halved(images: Tensor) -> Tensor:
    """Return images [N, C, ⌈H/2⌉, ⌈W/2⌉], means over 3×3 pixels without those outside of the image."""
    return avg_pool2d(images, 3, stride=2, padding=1, count_include_pad=False)
