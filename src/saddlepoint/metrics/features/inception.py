"""Inception-v3 in torch-fidelity's port of the TensorFlow graph: the features of published scores.

Scores with torchvision's weights or resize are not comparable with published ones.
"""

from __future__ import annotations

import hashlib
import io
import re
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.metrics.features.base import FeatureExtractor, Features
from saddlepoint.metrics.rows import RealData
from saddlepoint.writing import write_atomically

FILE = "weights-inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Hash of the official file of 95,628,359 bytes; its name contains the first eight digits."""
DEFINED_BY_INCEPTION = ("fid", "fid_infinity", "intra_fid", "is", "kid")
TIMEOUT = 15.0
"""Seconds without data after which a download is aborted."""
REMEDY = "give the path of a copy, or choose the features classifier (for labelled data) or random"


class InceptionFeatures(FeatureExtractor):
    """2,048 features and 1,008 logits without bias, from the TF port; gray images repeat their channel.

    Args:
        weights: path of the weights file; None searches the cache, then torch.hub's, then downloads it.
        sha256: the file's hash; to be given only for a file other than the official one. It is part of the version.

    Raises:
        UserError: ``sha256`` is not a hash.
    """

    name = "inception"
    has_logits = True
    resize = "bilinear-tf1-299"
    dim = 2048
    activation = 4 * 64 * 147**2

    def __init__(self, weights: str | None = None, sha256: str = SHA256) -> None:
        super().__init__()
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            raise UserError(f"must be 64 lower-case hexadecimal digits, got {sha256!r}", "sha256")
        self.weights = weights
        self.sha256 = sha256

    @property
    def version(self) -> str:
        """torch-fidelity's name of the network and the first digits of the weights' hash."""
        return f"inception-v3-compat-{self.sha256[:8]}"

    def score_name(self, metric: str) -> str:
        """Return the name without a suffix for the scores that are defined by this network, and with one for others.

        Published values of precision and recall, for instance, are those of VGG-16's features.
        """
        return metric if metric in DEFINED_BY_INCEPTION else super().score_name(metric)

    def prepare(self, real: RealData, cache_dir: Path) -> None:
        """Find, verify and load the weights, downloading them if necessary.

        Raises:
            UserError: the data are not gray or RGB images, or the weights are missing or wrong.
        """
        shape = real.info.shape
        if not real.info.is_image or shape[0] not in (1, 3):
            raise UserError(
                f"Inception needs gray or RGB images, but {real.info.name} has shape {list(shape)}",
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
            self._adopt(build_network(self._verified(cache_dir)))

    def extract(self, images: Tensor) -> Features:
        """Return pooled features and logits of gray or RGB images."""
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        pool, logits = self._ready()(images)
        return Features(pool, logits)

    def state(self) -> dict[str, Any]:
        """Return the path and hash of the weights; the 95 MB themselves are not stored in checkpoints."""
        return {"name": self.name, "version": self.version, "weights": self.weights, "sha256": self.sha256}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], cache_dir: Path) -> Self:
        """Return the extractor with the same weights, from a file or downloaded."""
        weights = state["weights"]
        # The path may be of another machine; without it, the official file is searched for as usual.
        missing = weights is not None and not Path(weights).expanduser().is_file()
        extractor = cls(None if missing else weights, state["sha256"])
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
                    f"give the path of {FILE}, or the sha256 of your own weights",
                )
            return data
        cached = cache_dir / "features" / FILE
        for path in (cached, Path(torch.hub.get_dir()) / "checkpoints" / FILE):
            if path.is_file():
                data = path.read_bytes()
                if hashlib.sha256(data).hexdigest() == self.sha256:
                    return data
        return self._download(cached)

    def _download(self, path: Path) -> bytes:
        """Download the official file into the cache, and return its bytes."""
        if self.sha256 != SHA256:
            raise UserError(
                f"{self.sha256[:8]}… is not the hash of the official weights", "sha256", "give the path of your weights"
            )
        try:
            with urllib.request.urlopen(URL, timeout=TIMEOUT) as response:
                data: bytes = response.read()
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise UserError(
                f"cannot download {FILE} (sha256 {SHA256}) from {URL}: {reason}", "weights", REMEDY
            ) from error
        if hashlib.sha256(data).hexdigest() != SHA256:
            raise UserError(f"the sha256 of the file at {URL} is not {SHA256}", "weights", REMEDY)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
        return data


def build_network(data: bytes) -> nn.Module:
    """Return torch-fidelity's Inception-v3, which outputs (pool, unbiased logits), with the weights of a verified file.

    Raises:
        UserError: the bytes are not such weights, or contain code.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    try:
        weights = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        # torch-fidelity unpickles its input, so it is given bytes written here, which contain only tensors.
        tensors = io.BytesIO()
        torch.save({str(name): torch.as_tensor(tensor) for name, tensor in weights.items()}, tensors)
        tensors.seek(0)
        network: nn.Module = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=tensors
        )
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"not a file of Inception-v3 weights of the TF port ({first})", "weights") from error
    return network
