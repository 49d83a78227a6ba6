"""VGG-16, the kind of network that precision and recall were published with (Kynkäänniemi et al. 2019)."""

from __future__ import annotations

from torch import nn

from saddlepoint.metrics.features.pretrained import PretrainedFeatures
from saddlepoint.metrics.features.tensor_files import plain_tensors, refused, rewritten

FILE = "vgg16-397923af.pth"


class VGGFeatures(PretrainedFeatures):
    """The 4,096 outputs of the second fully connected layer, after ReLU, by torch-fidelity and torchvision's weights.

    Published precision and recall are of other weights of this network. Its arguments are those of
    :class:`~saddlepoint.metrics.features.pretrained.PretrainedFeatures`.
    """

    name = "vgg"
    has_logits = False
    resize = "bilinear-tf1-224"
    dim = 4096
    activation = 4 * 64 * 224**2
    title, version_name = "VGG-16", "vgg16"
    file = FILE
    url = f"https://download.pytorch.org/models/{FILE}"
    official = "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"

    def build(self, data: bytes) -> nn.Module:
        """Return torch-fidelity's network."""
        from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16

        with refused("a file of torchvision's VGG-16 weights"):
            network: nn.Module = FeatureExtractorVGG16(
                "vgg16", ["fc2_relu"], feature_extractor_weights_path=rewritten(plain_tensors(data))
            )
        return network
