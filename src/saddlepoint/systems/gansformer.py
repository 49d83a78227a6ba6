"""Hudson & Zitnick 2021, "Generative Adversarial Transformers", arXiv:2103.01209.

The game is StyleGAN2's. What the latents attend to is shown during training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from saddlepoint.errors import UserError
from saddlepoint.networks.gansformer import GANsformerGenerator
from saddlepoint.networks.layers.bipartite import BipartiteAttention
from saddlepoint.systems.capabilities import Picture, Shown
from saddlepoint.systems.sampling import evaluating
from saddlepoint.systems.stylegan2 import StyleGAN2
from saddlepoint.types import Batch


class GANsformer(StyleGAN2):
    """StyleGAN2 with a generator whose local latents modulate regions of the image.

    Args:
        networks: ``generator``, a :class:`~saddlepoint.networks.GANsformerGenerator`, and ``discriminator``.
        stylegan2: other arguments; see :class:`~saddlepoint.systems.stylegan2.StyleGAN2`.

    Raises:
        UserError: the generator has no local latents.
    """

    def __init__(self, networks: Mapping[str, nn.Module], **stylegan2: Any) -> None:
        if not isinstance(networks.get("generator"), GANsformerGenerator):
            problem = "GANsformer needs a generator with local latents"
            raise UserError(problem, "networks.generator", "choose network gansformer")
        super().__init__(networks, **stylegan2)

    def attention(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """Return n samples, [n, C, H, W], and the regions of the local latents in the last layer with attention.

        Returns:
            The samples, and [n, k, H, W] in [0, 1]; a pixel belongs to the region of its largest value.
        """
        draw = self.draw(seed, 0, n).to(self.device)
        network: Any = self.network("generator")
        with evaluating(network):
            images, maps = network.synthesise_with_attention(self.styles(draw), draw.noise)
        return images.clamp(-1, 1), interpolate(maps[-1], images.shape[2:])

    def style_weight(self, ema: bool = True) -> Tensor:
        """Return the weights [A, W] of the maps from local latents to values, and from the global one to scales."""
        scales, network = super().style_weight(ema), cast(GANsformerGenerator, self.network("generator", ema))
        layers = [module.value for module in network.modules() if isinstance(module, BipartiteAttention)]
        values = torch.cat([scales[:0], *(layer.weight.detach() for layer in layers)])
        return torch.block_diag(*[values] * network.latents, scales)

    @torch.no_grad()
    def pictures(self, n: int, seed: int, held_out: Batch | None) -> Mapping[str, Shown]:
        """Return samples, and a picture with a row for each of some samples: the sample and its local latents' maps.

        White is the largest value in the maps of a sample.
        """
        shown: dict[str, Shown] = dict(super().pictures(n, seed, held_out))
        network: Any = self.network("generator")
        if not network.attentions:
            return shown
        images, maps = self.attention(max(n // (network.latents + 1), 1), seed)
        images = images[:, :3]  # in a fourth channel, maps would be the opacity
        scaled = (2 * maps / maps.amax((1, 2, 3), keepdim=True) - 1).unsqueeze(2)
        rows = torch.cat([images.unsqueeze(1), scaled.expand(-1, -1, images.shape[1], -1, -1)], 1)
        return shown | {"attention": Picture(rows.flatten(0, 1), columns=rows.shape[1])}
