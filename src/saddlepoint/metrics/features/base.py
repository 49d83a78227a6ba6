"""The interface of feature extractors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from saddlepoint.metrics.float32 import full_float32
from saddlepoint.metrics.rows import RealData

AT_ONCE = 2**30
"""Limit on the size of a network's largest activation, in bytes."""
AT_ONCE_ON_CPU = 3 * 2**23
"""The same on a CPU. glibc returns blocks above 32 MiB to the system, and new pages cost more than the convolution."""


class Features(NamedTuple):
    """The features of a batch.

    Attributes:
        pool: float32 [N, F].
        logits: float32 [N, K], or None.
    """

    pool: Tensor
    logits: Tensor | None = None


class FeatureExtractor(ABC):
    """Maps uint8 images to :class:`Features`.

    It is not an nn.Module, so as an attribute of one it is not part of its state dict, its moving average, or its
    ``train()``.

    Attributes:
        name: as in ``features=<name>`` and on score cards.
        has_logits: whether it classifies images, which the Inception Score needs.
        predicts_labels: whether its classes are the data set's own.
        counts_modes: whether its classes are the data's modes, equally likely by construction.
        resize: the kernel that images are resized with, as on a score card.
        dim: number of pooled features, F.
        activation: size in bytes of the network's largest activation for one image, which limits the batch size.
        network: the frozen network, set by :meth:`prepare` or :meth:`from_state`.
        device: where features are computed.
    """

    name: ClassVar[str]
    has_logits: ClassVar[bool]
    predicts_labels: ClassVar[bool] = False
    counts_modes: ClassVar[bool] = False
    resize: ClassVar[str]
    dim: int
    activation: int = 0

    def __init__(self) -> None:
        self.network: nn.Module | None = None
        self.device = torch.device("cpu")

    @property
    @abstractmethod
    def version(self) -> str:
        """Identifies architecture *and* weights: the same name and version mean the same features."""

    @abstractmethod
    def prepare(self, real: RealData, cache_dir: Path) -> None:
        """Train or load the network, or read it from ``cache_dir``.

        Raises:
            UserError: the extractor does not support these images, or its weights are not available.
        """

    @abstractmethod
    def extract(self, images: Tensor) -> Features:
        """Return the features of uint8 images [N, C, H, W] on :attr:`device`; called by :meth:`__call__`."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return plain containers and tensors for :meth:`from_state`."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: Mapping[str, Any], cache_dir: Path) -> Self:
        """Return a prepared extractor; needs no data set.

        Raises:
            UserError: the state has another version, or its weights are not available.
        """

    def __call__(self, images: Tensor) -> Features:
        """Return the features of uint8 images [N, C, H, W] from any device, in full float32, without gradients."""
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise TypeError(f"features need uint8 [N, C, H, W], not {images.dtype} {tuple(images.shape)}")
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=False), full_float32(self.device):
            at_once = self._at_once(images)
            parts = [self.extract(part.to(self.device, non_blocking=True)) for part in images.split(at_once)]
            logits = [part.logits.float() for part in parts if part.logits is not None]
            return Features(torch.cat([part.pool.float() for part in parts]), torch.cat(logits) if logits else None)

    def to(self, device: torch.device | str) -> Self:
        """Move the network to ``device``, and compute features there from now on."""
        self.device = torch.device(device)
        if self.network is not None:
            self.network.to(self.device)
        return self

    @property
    def beside(self) -> dict[str, float]:
        """Numbers for the cards of all scores with these features, needed to interpret them."""
        return {}

    def score_name(self, metric: str) -> str:
        """Return a score's full name, which includes the extractor's name."""
        return f"{metric}_{self.name}"

    def _at_once(self, images: Tensor) -> int:
        """Return the number of ``images`` [N, C, H, W] to process at a time."""
        largest = max(self.activation, 4 * images[0].numel() if len(images) else 0)
        return max(1, (AT_ONCE_ON_CPU if self.device.type == "cpu" else AT_ONCE) // largest)

    def _adopt(self, network: nn.Module) -> None:
        """Set the network, frozen, in evaluation mode, on this device."""
        self.network = network.requires_grad_(False).eval().to(self.device)

    def _ready(self) -> nn.Module:
        """Return the network, which must have been prepared."""
        if self.network is None:
            raise RuntimeError(f"features={self.name}: call prepare() before use")
        return self.network
