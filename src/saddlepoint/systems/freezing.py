"""FreezeD: the first blocks of a discriminator are not trained when it is fine-tuned.

Mo et al. 2020, "Freeze the Discriminator: a Simple Baseline for Fine-Tuning GANs", arXiv:2002.10964.
"""

from __future__ import annotations

from torch import nn

from saddlepoint.errors import UserError
from saddlepoint.networks.layers.conditioning import CriticLabels
from saddlepoint.networks.progan import Growing


def freeze_blocks(network: nn.Module, count: int) -> None:
    """Freeze the weights of the first blocks of a discriminator, and of what comes before them.

    The blocks are the layers with weight matrices or kernels in the network's ``trunk`` or ``blocks``: convolutions,
    linear layers or residual blocks, in the order of the forward pass. Normalization between frozen blocks is frozen
    too; running statistics are not. Of layers for each size of the image, those of the frozen blocks are frozen.

    Args:
        network: the discriminator.
        count: number of blocks, >= 1.

    Raises:
        UserError: it has no sequence of blocks, or fewer.
    """
    children = dict(network.named_children())
    layers = children.get("trunk", children.get("blocks"))
    if not isinstance(layers, nn.Sequential | nn.ModuleList):
        raise UserError(f"{type(network).__name__} has no sequence of blocks", "frozen_blocks", "set it to 0")
    order = -1 if isinstance(network, Growing) else 1  # a network that grows has the last layer first
    ordered = [*layers][::order]
    blocks = [layer for layer in ordered if any(parameter.dim() > 1 for parameter in layer.parameters())]
    if count > len(blocks):
        problem = f"{type(network).__name__} has {len(blocks)} blocks, and {count} are to be frozen"
        raise UserError(problem, "frozen_blocks", f"set it to {len(blocks)} or less")
    trained = blocks[count] if count < len(blocks) else None
    for child in network.children():
        if child is layers:
            break
        if isinstance(child, nn.ModuleList):
            for layer in [*child][::order][:count]:
                layer.requires_grad_(False)
        elif not isinstance(child, CriticLabels):
            child.requires_grad_(False)
    for layer in ordered:
        if layer is trained:
            break
        layer.requires_grad_(False)
