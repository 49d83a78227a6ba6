"""What every feature extractor promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from saddlepoint.metrics.precision import full_float32

if TYPE_CHECKING:
    from saddlepoint.metrics.real import RealData

AT_ONCE = 2**30
"""Bytes that a network's largest activation may take."""
AT_ONCE_ON_CPU = 3 * 2**23
"""glibc gives all above 32 MiB back to the system, and new pages cost more than the convolution that fills them."""


class Features(NamedTuple):
    """What an extractor says of a batch.

    Attributes:
        pool: float32 [N, F].
        logits: float32 [N, K], or None.
    """

    pool: Tensor
    logits: Tensor | None = None


class FeatureExtractor(ABC):
    """Maps uint8 images to :class:`Features`.

    It is deliberately no nn.Module: as an attribute of one it enters neither its state dict, nor its EMA, nor its
    ``train()``.

    Attributes:
        name: as in ``features=<name>`` and on score cards.
        has_logits: whether it classifies at all, which the Inception Score needs.
        predicts_labels: whether its classes are the data set's own.
        counts_modes: whether its classes are the data's modes, equally likely by construction.
        resize: the kernel that fits images to it, as a score card states it.
        dim: number of pooled features.
        activation: bytes of the network's largest activation of an image, which bounds how many pass at once.
        network: the frozen network, once :meth:`prepare` or :meth:`from_state` made it.
        device: where it computes.
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
        """Names architecture *and* weights: two extractors of one name and version give the same features."""

    @abstractmethod
    def prepare(self, real: RealData, cache_dir: Path) -> None:
        """Train or load what it needs, before any training of a GAN; the second call finds it in ``cache_dir``.

        Raises:
            UserError: it cannot serve these images, or its weights cannot be had.
        """

    @abstractmethod
    def extract(self, images: Tensor) -> Features:
        """Compute the features of uint8 [N, C, H, W] on :attr:`device`; called through :meth:`__call__`."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return plain containers and tensors that :meth:`from_state` rebuilds the prepared extractor from."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: Mapping[str, Any], cache_dir: Path) -> Self:
        """Rebuild a prepared extractor with no data set.

        Raises:
            UserError: the state is of another version, or the weights that it names cannot be had.
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
        """Compute on ``device`` from now on."""
        self.device = torch.device(device)
        if self.network is not None:
            self.network.to(self.device)
        return self

    @property
    def beside(self) -> dict[str, float]:
        """Numbers that every score by these features is to be read with; they stand on its card."""
        return {}

    def score_name(self, metric: str) -> str:
        """Return a score's full name: other features than Inception's stand in it."""
        return f"{metric}_{self.name}"

    def _at_once(self, images: Tensor) -> int:
        """Return how many of ``images`` [N, C, H, W] pass at a time."""
        largest = max(self.activation, 4 * images[0].numel() if len(images) else 0)
        return max(1, (AT_ONCE_ON_CPU if self.device.type == "cpu" else AT_ONCE) // largest)

    def _adopt(self, network: nn.Module) -> None:
        """Take a network in: frozen, in evaluation mode, on this device."""
        self.network = network.requires_grad_(False).eval().to(self.device)

    def _ready(self) -> nn.Module:
        """Return the network of a prepared extractor."""
        if self.network is None:
            raise RuntimeError(f"features={self.name}: call prepare() before use")
        return self.network
