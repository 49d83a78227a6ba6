"""The base class of features by published networks, whose weights are files with known hashes."""

from __future__ import annotations

import hashlib
import re
import urllib.request
import warnings
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.metrics.features.base import FeatureExtractor, Features
from saddlepoint.metrics.rows import RealData
from saddlepoint.writing import write_atomically

TIMEOUT = 15.0
"""Seconds without data after which a download is aborted."""
REMEDY = "give the path of a copy, or choose the features classifier (for labelled data) or random"


class PretrainedFeatures(FeatureExtractor):
    """Features of gray or RGB images by a published network; gray images repeat their channel.

    Args:
        weights: path of the weights file; None searches the cache, then torch.hub's, then downloads it.
        sha256: the file's hash; to be given only for a file other than the official one. It is part of the version.

    Attributes:
        title: the network's name in messages.
        version_name: the network's name in versions.
        file: name of the official file.
        url: where it is downloaded from.
        official: its sha256.

    Raises:
        UserError: ``sha256`` is not a hash.
    """

    title: ClassVar[str]
    version_name: ClassVar[str]
    file: ClassVar[str]
    url: ClassVar[str]
    official: ClassVar[str]

    def __init__(self, weights: str | None = None, sha256: str | None = None) -> None:
        super().__init__()
        if sha256 is not None and not re.fullmatch("[0-9a-f]{64}", sha256):
            raise UserError(f"must be 64 lower-case hexadecimal digits, got {sha256!r}", "sha256")
        self.weights = weights
        self.sha256 = sha256 or self.official

    @abstractmethod
    def build(self, data: bytes) -> nn.Module:
        """Return the network with the weights of a file, whose hash is correct.

        It maps uint8 RGB images to a tuple of the pooled features and, if it has any, the logits.

        Raises:
            UserError: the bytes are not such weights, or contain code.
        """

    @property
    def version(self) -> str:
        """The network's name and the first digits of the weights' hash."""
        return f"{self.version_name}-{self.sha256[:8]}"

    def prepare(self, real: RealData, cache_dir: Path) -> None:
        """Find, verify and load the weights, downloading them if necessary.

        Raises:
            UserError: the data are not gray or RGB images, or the weights are missing or wrong.
        """
        shape = real.info.shape
        if not real.info.is_image or shape[0] not in (1, 3):
            raise UserError(
                f"{self.title} needs gray or RGB images, but {real.info.name} has shape {list(shape)}",
                None,
                "convert the images to three channels, or choose the features random or none",
            )
        self.load(cache_dir)

    def load(self, cache_dir: Path) -> None:
        """Load the weights, downloading them if necessary.

        Raises:
            UserError: the weights are missing or wrong.
        """
        if self.network is None:
            # channels_last is a third faster on CPUs, but rounds differently from torch-fidelity.
            self._adopt(self.build(self._verified(cache_dir)))

    def extract(self, images: Tensor) -> Features:
        """Return the features of gray or RGB images."""
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        return Features(*self._ready()(images))

    def state(self) -> dict[str, Any]:
        """Return the path and hash of the weights, which themselves are not stored in checkpoints."""
        return {"name": self.name, "version": self.version, "weights": self.weights, "sha256": self.sha256}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], cache_dir: Path) -> Self:
        """Return the extractor with the same weights, from a file or downloaded."""
        weights = state.get("weights")
        # The path may be of another machine; without it, the official file is searched for as usual.
        missing = weights is not None and not Path(weights).expanduser().is_file()
        extractor = cls(None if missing else weights, state.get("sha256"))
        extractor.load(cache_dir)
        return extractor

    def _verified(self, cache_dir: Path) -> bytes:
        """Return the bytes of a weights file whose hash is correct."""
        if self.weights is not None:
            path = Path(self.weights).expanduser()
            if not path.is_file():
                raise UserError(f"no such file: {self.weights}", "weights")
            data = path.read_bytes()
            found = hashlib.sha256(data).hexdigest()
            if found != self.sha256:
                raise UserError(
                    f"{self.weights} has sha256 {found}, not {self.sha256}",
                    "weights",
                    f"give the path of {self.file}, or the sha256 of your own weights",
                )
            return data
        cached = cache_dir / "features" / self.file
        for path in (cached, Path(torch.hub.get_dir()) / "checkpoints" / self.file):
            if path.is_file():
                data = path.read_bytes()
                if hashlib.sha256(data).hexdigest() == self.sha256:
                    return data
        return self._download(cached)

    def _download(self, path: Path) -> bytes:
        """Download the official file into the cache, and return its bytes."""
        if self.sha256 != self.official:
            raise UserError(
                f"{self.sha256[:8]}… is not the hash of the official weights", "sha256", "give the path of your weights"
            )
        try:
            with urllib.request.urlopen(self.url, timeout=TIMEOUT) as response:
                data: bytes = response.read()
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise UserError(
                f"cannot download {self.file} (sha256 {self.official}) from {self.url}: {reason}", "weights", REMEDY
            ) from error
        if hashlib.sha256(data).hexdigest() != self.official:
            raise UserError(f"the sha256 of the file at {self.url} is not {self.official}", "weights", REMEDY)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, data)
        except OSError as error:
            warnings.warn(f"cannot cache {path}: {error.strerror}; it will be downloaded again", stacklevel=2)
        return data
