"""Inception-v3 weights that need no download and give meaningful differences between scores.

With PyTorch's default initialization, all images have the same features: the Inception Score is 1.0000, and distances
are rounding errors, so that a comparison proves nothing. Therefore convolutions have He initialization, batch norms the
statistics of images, and the last layer is scaled so that it is confident about some classes.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

CERTAINTY = 4.0
"""Standard deviation of the logits over images."""


class Blank(FeatureExtractorInceptionV3):
    """The network before any weights are loaded into it."""

    def load_state_dict(self, *_args: object, **_kwargs: object) -> None:
        """Load nothing."""


def write(path: Path, images: Tensor) -> Path:
    """Write weights fitted to uint8 images [N, 3, H, W]."""
    torch.save({}, path)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        network = Blank("blank", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path))
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        network.train()
        network(images)
        network.eval()
        pool, _ = network(images)
        logits = (pool - pool.mean(0)) @ network.fc.weight.T
        network.fc.weight *= CERTAINTY / logits.std()
    torch.save(network.state_dict(), path)
    return path
