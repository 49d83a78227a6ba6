"""Inception-v3 in torch-fidelity's port of the TensorFlow graph: the features of published scores.

Scores with torchvision's weights or resize are not comparable with published ones.
"""

from __future__ import annotations

from torch import nn

from saddlepoint.metrics.features.pretrained import PretrainedFeatures
from saddlepoint.metrics.features.tensor_files import plain_tensors, refused, rewritten

FILE = "weights-inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Hash of the official file of 95,628,359 bytes; its name contains the first eight digits."""
DEFINED_BY_INCEPTION = ("fid", "fid_infinity", "intra_fid", "is", "kid")


class InceptionFeatures(PretrainedFeatures):
    """2,048 features and 1,008 logits without bias, from the TF port; gray images repeat their channel.

    Its arguments are those of :class:`~saddlepoint.metrics.features.pretrained.PretrainedFeatures`.
    """

    name = "inception"
    has_logits = True
    resize = "bilinear-tf1-299"
    dim = 2048
    activation = 4 * 64 * 147**2
    title, version_name = "Inception", "inception-v3-compat"
    file, official = FILE, SHA256
    url = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"

    def score_name(self, metric: str) -> str:
        """Return the name without a suffix for the scores that are defined by this network, and with one for others.

        Published values of precision and recall, for instance, are those of VGG-16's features.
        """
        return metric if metric in DEFINED_BY_INCEPTION else super().score_name(metric)

    def build(self, data: bytes) -> nn.Module:
        """Return torch-fidelity's network, which outputs (pool, unbiased logits)."""
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        with refused("a file of Inception-v3 weights of the TF port"):
            network: nn.Module = FeatureExtractorInceptionV3(
                "inception-v3-compat",
                ["2048", "logits_unbiased"],
                feature_extractor_weights_path=rewritten(plain_tensors(data)),
            )
        return network
