"""The image encoder of CLIP: Radford et al. 2021, arXiv:2103.00020.

For scores: Kynkäänniemi et al. 2023, arXiv:2203.06026.
"""

from __future__ import annotations

import io
import warnings

import torch
from torch import nn

from saddlepoint.metrics.features.pretrained import PretrainedFeatures
from saddlepoint.metrics.features.standardized import Standardized
from saddlepoint.metrics.features.tensor_files import plain_tensors, refused

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Mean and standard deviation of the channels, in [0, 1], by which CLIP's inputs are standardized."""


class CLIPFeatures(PretrainedFeatures):
    """The 512 image features of ViT-B/32, by torch-fidelity's network and preprocessing.

    The official file is an archive of TorchScript, which is read only if it has the official hash; other files must
    contain nothing but tensors. Its arguments are those of
    :class:`~saddlepoint.metrics.features.pretrained.PretrainedFeatures`.
    """

    name = "clip"
    has_logits = False
    resize = "bilinear-tf1-224"
    dim = 512
    activation = 4 * 12 * 768 * 50
    title, version_name = "CLIP", "clip-vit-b-32"
    file = "ViT-B-32.pt"
    official = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"
    url = f"https://openaipublic.azureedge.net/clip/models/{official}/{file}"

    def build(self, data: bytes) -> nn.Module:
        """Return the image encoder, of the size of the weights."""
        from torch_fidelity.feature_extractor_clip import build_model

        with refused("a file of CLIP's weights"):
            if self.sha256 == self.official:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # TorchScript is deprecated
                    tensors = dict(torch.jit.load(io.BytesIO(data), map_location="cpu").state_dict())
            else:
                tensors = plain_tensors(data)
            encoder = build_model(tensors, torch.float32).visual
        self.dim = encoder.output_dim
        return Standardized(encoder, encoder.input_resolution, MEAN, STD)
