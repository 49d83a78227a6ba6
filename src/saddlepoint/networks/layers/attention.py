"""Self-attention over the positions of a feature map.

Zhang et al. 2019, "Self-Attention Generative Adversarial Networks", arXiv:1805.08318, section 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from saddlepoint.errors import UserError
from saddlepoint.networks.layers.init import init_xavier
from saddlepoint.networks.layers.precision import at_least_float32, full_precision

Attention = Sequence[PositiveInt] | Literal["auto"]
"""Short sides in px of the feature maps that are followed by self-attention; ``auto``: as in the network's paper."""


class SelfAttention(nn.Module):
    """Adds to each position of a feature map a weighted sum over all positions: y = x + γ o.

    With 1×1 convolutions f, g, h and v without biases (equations 1 to 3, in which f(x_i) is the key of position i):

        β_{j,i} = exp(f(x_i)·g(x_j)) / Σ_i exp(f(x_i)·g(x_j)),   o_j = v(Σ_i β_{j,i} h(x_i))

    γ is initialized to 0, so that the layer is the identity at first. As in the published code and unlike the paper,
    the keys f and the values h are reduced by 2×2 max pooling, and h has C/2 channels instead of C/8. The scores are
    not divided by the square root of their dimension.

    Attributes:
        gain: γ, [1].
    """

    def __init__(self, channels: int) -> None:
        """Build the layer.

        Args:
            channels: number of channels C of the feature map.
        """
        super().__init__()
        narrow, half = max(channels // 8, 1), max(channels // 2, 1)
        self.key = nn.Conv2d(channels, narrow, 1, bias=False)
        self.query = nn.Conv2d(channels, narrow, 1, bias=False)
        self.value = nn.Conv2d(channels, half, 1, bias=False)
        self.output = nn.Conv2d(half, channels, 1, bias=False)
        self.gain = nn.Parameter(torch.zeros(1))
        for layer in (self.key, self.query, self.value, self.output):
            init_xavier(layer)

    def forward(self, x: Tensor) -> Tensor:
        """Map a feature map [N, C, H, W] to one of the same shape."""
        values = max_pool2d(self.value(x), 2).flatten(2)
        attended = values @ self.weights(x).transpose(1, 2).to(values.dtype)
        return x + self.gain * self.output(attended.unflatten(2, x.shape[2:]))

    def weights(self, x: Tensor) -> Tensor:
        """Return β, float32 [N, H·W, ⌊H/2⌋·⌊W/2⌋]; each row sums to 1."""
        queries = at_least_float32(self.query(x).flatten(2))
        keys = at_least_float32(max_pool2d(self.key(x), 2).flatten(2))
        with full_precision(x.device):
            return torch.softmax(queries.transpose(1, 2) @ keys, dim=2)


def attention_at(side: int, channels: int, wanted: Sequence[int]) -> list[nn.Module]:
    """Return the layers that follow a feature map: one :class:`SelfAttention` if its side is in ``wanted``."""
    return [SelfAttention(channels)] if side in wanted else []


def quarter(shape: Sequence[int], sides: Iterable[int]) -> list[int]:
    """Return the side of the feature map closest to a quarter of the image, as in the paper: 32 px for 128 px.

    Feature maps as large as the image are left out; the list is empty if there are no others.

    >>> quarter((3, 128, 128), [8, 16, 32, 64, 128]), quarter((1, 28, 28), [14, 28]), quarter((1, 8, 8), [8])
    ([32], [14], [])
    """
    short = min(shape[1:])
    smaller = [side for side in sides if side < short]
    return [min(smaller, key=lambda side: abs(side - short / 4))] if smaller else []


def choose_sides(wanted: Attention, sides: Iterable[int], auto: Sequence[int]) -> Sequence[int]:
    """Return the short sides in px of the feature maps that are followed by attention.

    Args:
        wanted: these sides; or ``auto``.
        sides: short sides of the network's feature maps.
        auto: the sides for ``auto``; those that the network does not have are left out.

    Raises:
        UserError: the network has no feature map of a wanted size.
    """
    available = sorted(set(sides))
    if isinstance(wanted, str):
        return [side for side in auto if side in available]
    if missing := [side for side in wanted if side not in available]:
        raise UserError(
            f"this network has no feature map of {missing[0]} px",
            "attention",
            f"choose from {', '.join(map(str, available))}",
        )
    return wanted


@contextmanager
def recorded_weights(network: nn.Module) -> Iterator[list[tuple[Tensor, tuple[int, int]]]]:
    """Record the weights β of every :class:`SelfAttention` in the forward passes within the context.

    Yields:
        A list that is filled with (β, size of the feature map), in the order of the layers.
    """
    found: list[tuple[Tensor, tuple[int, int]]] = []

    def record(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if isinstance(layer, SelfAttention):
            (x,) = inputs
            found.append((layer.weights(x), (x.shape[2], x.shape[3])))

    layers = [layer for layer in network.modules() if isinstance(layer, SelfAttention)]
    handles = [layer.register_forward_pre_hook(record) for layer in layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
