"""DINOv2: Oquab et al. 2023, arXiv:2304.07193; for scores, Stein et al. 2023, arXiv:2306.04675.

Its features come from images without labels, and the distances in them agree better with people's judgement than
Inception's do (Stein et al. 2023).
"""

from __future__ import annotations

from torch import nn

from saddlepoint.metrics.features.pretrained import PretrainedFeatures
from saddlepoint.metrics.features.standardized import Standardized
from saddlepoint.metrics.features.tensor_files import plain_tensors, refused
from saddlepoint.metrics.features.vision_transformer import VisionTransformer

SIDE = 224
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Mean and standard deviation of the channels, in [0, 1], by which DINOv2's inputs are standardized."""


class DINOv2Features(PretrainedFeatures):
    """The 1,024 features of ViT-L/14, or those of another size without registers (S or B) by its file.

    The network is the project's own, since torch-fidelity's is a program that it downloads; its preprocessing is
    torch-fidelity's. Its arguments are those of :class:`~saddlepoint.metrics.features.pretrained.PretrainedFeatures`.
    """

    name = "dinov2"
    has_logits = False
    resize = "bilinear-tf1-224"
    dim = 1024
    activation = 4 * 4 * 1024 * 257
    title, version_name = "DINOv2", "dinov2"
    file = "dinov2_vitl14_pretrain.pth"
    url = f"https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/{file}"
    official = "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428"

    def build(self, data: bytes) -> nn.Module:
        """Return the network, of the size of the weights."""
        with refused("a file of DINOv2's weights"):
            network = VisionTransformer.of(plain_tensors(data))
        self.dim = network.norm.normalized_shape[0]
        return Standardized(network, SIDE, MEAN, STD)
