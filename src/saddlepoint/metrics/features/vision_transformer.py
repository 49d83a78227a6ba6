"""The vision transformer of DINOv2: Dosovitskiy et al. 2021, arXiv:2010.11929, with LayerScale (arXiv:2103.17239)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention

HEAD = 64
"""Width of an attention head."""
OFFSET = 0.1
"""Added to the number of patches in the scale by which positions are resized, as in the published code."""


class VisionTransformer(nn.Module):
    """A transformer on patches of an image and a class token; parameters have the names of DINOv2's files.

    Args:
        dim: width F.
        depth: number of blocks.
        hidden: width of the hidden layers of the blocks.
        patch: side of a patch in pixels.
        grid: number of patches a side that positions are stored for; for other numbers they are resized.
    """

    def __init__(self, dim: int, depth: int, hidden: int, patch: int, grid: int) -> None:
        super().__init__()
        self.grid, self.patch = grid, patch
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + grid**2, dim))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, dim, patch, patch)})
        self.blocks = nn.Sequential(*(Block(dim, hidden) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> VisionTransformer:
        """Return the network of the size of its weights, with these weights.

        Raises:
            Exception: the weights are not of such a network.
        """
        depth = len({name.split(".")[1] for name in weights if name.startswith("blocks.")})
        hidden, dim = weights["blocks.0.mlp.fc1.weight"].shape
        grid = math.isqrt(weights["pos_embed"].shape[1] - 1)
        with torch.device("meta"):
            network = cls(dim, depth, hidden, weights["patch_embed.proj.weight"].shape[-1], grid)
        own = {
            name: tensor.float() for name, tensor in weights.items() if name != "mask_token"
        }  # used in training only
        network.load_state_dict(own, assign=True)
        return network

    def forward(self, images: Tensor) -> Tensor:
        """Return the class token after the last block, [N, F], of images [N, 3, H, W]; sides are multiples of patch."""
        x = self.patch_embed["proj"](images)
        down, across = x.shape[-2:]
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1)
        output: Tensor = self.norm(self.blocks(tokens + self.positions(down, across))[:, 0])
        return output

    def positions(self, down: int, across: int) -> Tensor:
        """Return the embeddings of the positions of the class token and of the patches, [1, 1 + down · across, F]."""
        if down == across == self.grid:
            return self.pos_embed
        stored = self.pos_embed[:, 1:].unflatten(1, (self.grid, self.grid)).permute(0, 3, 1, 2)
        scale = [(count + OFFSET) / self.grid for count in (down, across)]
        resized = interpolate(stored, scale_factor=scale, mode="bicubic")
        return torch.cat([self.pos_embed[:, :1], resized.flatten(2).transpose(1, 2)], 1)


class Block(nn.Module):
    """x + γ₁ attention(norm(x)), then x + γ₂ mlp(norm(x))."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(dim, eps=1e-6) for _ in range(2))
        self.attn = nn.ModuleDict({"qkv": nn.Linear(dim, 3 * dim), "proj": nn.Linear(dim, dim)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(dim, hidden), "fc2": nn.Linear(hidden, dim)})
        self.ls1, self.ls2 = (nn.ParameterDict({"gamma": nn.Parameter(torch.ones(dim))}) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens [N, T, F] after the block."""
        queries, keys, values = self.attn["qkv"](self.norm1(x)).unflatten(-1, (3, -1, HEAD)).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2)
        x = x + self.ls1["gamma"] * self.attn["proj"](attended)
        return x + self.ls2["gamma"] * self.mlp["fc2"](nn.functional.gelu(self.mlp["fc1"](self.norm2(x))))
