"""A file of Inception-v3 weights that needs no download and under which scores mean something.

Default initialisation gives every image the same features: an Inception Score of 1.0000 and distances of rounding,
which equal anything. So convolutions are He-initialised, batch norms get the statistics of images, and the last layer
is scaled until it is sure of some classes.
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
        """Take none."""


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
