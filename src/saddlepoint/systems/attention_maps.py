"""Pictures of what self-attention layers attend to, as in figure 5 of Zhang et al. 2019, arXiv:1805.08318."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from saddlepoint.networks.layers.attention import SelfAttention, recorded_weights
from saddlepoint.systems.capabilities import Picture, Shown, rows_of
from saddlepoint.systems.sampling import Sampling

COLUMNS = 8
"""Number of samples in the picture."""
QUERIES = ((0.5, 0.5), (0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75))
"""Query positions, as fractions of the height and the width."""
MARK = (1.0, -1.0, -1.0)
"""Colour of the query position: red."""


def pictures(system: Sampling, network: nn.Module, seed: int) -> Mapping[str, Shown]:
    """Return a picture of the attention of each self-attention layer; none if the network has no such layer.

    Args:
        system: the system.
        network: the network that generates the samples.
        seed: seed of the samples.
    """
    if not any(isinstance(layer, SelfAttention) for layer in network.modules()):
        return {}
    with recorded_weights(network) as found:
        images = system.sample(COLUMNS, seed=seed)
    names = ["attention"] if len(found) == 1 else [f"attention_{size[0]}px" for _, size in found]
    return {name: picture(images, *one) for name, one in zip(names, found, strict=True)}


def picture(images: Tensor, weights: Tensor, size: tuple[int, int]) -> Picture:
    """Return images above the attention of five of their positions, which are marked in red.

    Args:
        images: [N, C, H, W] with 1, 3 or 4 channels; the fourth is not shown.
        weights: β, [≥ N, h·w, ⌊h/2⌋·⌊w/2⌋].
        size: (h, w), the size of the feature map.
    """
    images, rows = images[:, :3], []
    for down, right in QUERIES:
        at = (int(down * size[0]), int(right * size[1]))
        attention = weights[: len(images), at[0] * size[1] + at[1]].unflatten(1, (1, size[0] // 2, size[1] // 2))
        scaled = 2 * attention / attention.amax((2, 3), keepdim=True) - 1
        shown = interpolate(scaled, size, mode="nearest").repeat(1, 3, 1, 1)
        shown[:, :, at[0], at[1]] = torch.tensor(MARK, device=shown.device)
        rows.append(interpolate(shown, images.shape[2:], mode="nearest"))
    return rows_of(images, *rows, columns=COLUMNS)
