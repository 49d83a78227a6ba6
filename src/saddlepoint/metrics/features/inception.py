"""Inception-v3 in torch-fidelity's port of the TensorFlow graph: the features behind published scores.

Not torchvision's weights and not its resize: with either, numbers compare with no paper's.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.metrics.features.base import FeatureExtractor, Features

if TYPE_CHECKING:
    from saddlepoint.metrics.real import RealData

FILE = "weights-inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of the official file, 95,628,359 bytes; its name carries the first eight digits."""
TIMEOUT = 15.0
"""Seconds without a byte after which a download is given up."""
WAYS_ROUND = "features.weights=PATH to a copy, features=classifier with labelled data, or features=random"


class InceptionFeatures(FeatureExtractor):
    """2,048 features and 1,008 logits without bias, from the TF port; gray images repeat their channel.

    Args:
        weights: path of the weights file; None looks in the cache, then in torch.hub's, then downloads it.
        sha256: the file's hash. Only another file than the official one needs it, and its scores then carry its hash
            in their version.
    """

    name = "inception"
    has_logits = True
    resize = "bilinear-tf1-299"
    dim = 2048
    activation = 4 * 64 * 147**2

    def __init__(self, weights: str | None = None, sha256: str = SHA256) -> None:
        super().__init__()
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            raise UserError(f"features.sha256 must be 64 lower-case hexadecimal digits, not {sha256!r}")
        self.weights = weights
        self.sha256 = sha256

    @property
    def version(self) -> str:
        """Torch-fidelity's name for the network, and the weights."""
        return f"inception-v3-compat-{self.sha256[:8]}"

    def score_name(self, metric: str) -> str:
        """Return the plain name: ``fid`` and ``is`` without a suffix are Inception's."""
        return metric

    def prepare(self, real: RealData, cache_dir: Path) -> None:
        """Find, verify and load the weights; see :class:`UserError` for the ways round a missing file."""
        shape = real.info.shape
        if not real.info.is_image or shape[0] not in (1, 3):
            raise UserError(
                f"features=inception sees gray or RGB images, but {real.info.name} has shape {list(shape)}; "
                "set data.channels=3, or take features=random or features=none"
            )
        self.load(cache_dir)

    def load(self, cache_dir: Path) -> None:
        """Load the weights, from the network if need be."""
        if self.network is None:
            # Not channels_last, a third faster on CPUs: this is torch-fidelity's layout, and so its rounding.
            self._adopt(build_network(self._verified(cache_dir)))

    def extract(self, images: Tensor) -> Features:
        """Return pooled features and logits of gray or RGB images."""
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        pool, logits = self._ready()(images)
        return Features(pool, logits)

    def state(self) -> dict[str, Any]:
        """Return what names the weights; 95 MB stay out of checkpoints."""
        return {"name": self.name, "version": self.version, "weights": self.weights, "sha256": self.sha256}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], cache_dir: Path) -> Self:
        """Load the same weights from this machine or the network."""
        weights = state["weights"]
        # The path may be of the machine that trained: without it, the official file is looked for as usual.
        gone = weights is not None and not Path(weights).expanduser().is_file()
        extractor = cls(None if gone else weights, state["sha256"])
        extractor.load(cache_dir)
        return extractor

    def _verified(self, cache_dir: Path) -> bytes:
        """Return the bytes of a file with the right hash."""
        if self.weights is not None:
            path = Path(self.weights).expanduser()
            if not path.is_file():
                raise UserError(f"features.weights={self.weights}: no such file")
            data = path.read_bytes()
            found = hashlib.sha256(data).hexdigest()
            if found != self.sha256:
                raise UserError(
                    f"features.weights={self.weights} has sha256 {found}, not {self.sha256}; take {FILE}, or state "
                    "features.sha256 for weights of your own"
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
        """Fetch the official file into the cache."""
        if self.sha256 != SHA256:
            raise UserError(
                f"features.sha256={self.sha256[:8]}… is not of the official weights: set features.weights=PATH"
            )
        try:
            with urllib.request.urlopen(URL, timeout=TIMEOUT) as response:
                data: bytes = response.read()
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise UserError(
                f"features=inception: cannot download {FILE} (sha256 {SHA256}) from {URL}: {reason}; take {WAYS_ROUND}"
            ) from error
        if hashlib.sha256(data).hexdigest() != SHA256:
            raise UserError(f"features=inception: {URL} gave a file whose sha256 is not {SHA256}; take {WAYS_ROUND}")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(path)
        return data


def build_network(data: bytes) -> nn.Module:
    """Build torch-fidelity's Inception-v3 from a verified file's bytes, which give (pool, unbiased logits).

    Raises:
        UserError: the bytes hold no such weights, or hold code.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    try:
        weights = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        # torch-fidelity unpickles what it is given: give it bytes that hold tensors and were written here.
        tensors = io.BytesIO()
        torch.save({str(name): torch.as_tensor(tensor) for name, tensor in weights.items()}, tensors)
        tensors.seek(0)
        network: nn.Module = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=tensors
        )
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"features.weights: not a file of Inception-v3 weights of the TF port ({first})") from error
    return network
