"""Small adversarial autoencoders for tests."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from saddlepoint.losses import NonSaturating
from saddlepoint.networks import AAEDecoder, AAEEncoder, CategoryDiscriminator, CodeDiscriminator
from saddlepoint.systems import AAE
from saddlepoint.types import ImageBatch

SHAPE, Z, K, N, RATE = (1, 2, 2), 2, 3, 6, 0.1


class Alone:
    world_size, global_rank, precision_plugin = 1, 0, None


def build(labels: Any = "none", prior: Any = "mixture", **options: Any) -> Any:
    torch.manual_seed(0)
    of_labels: dict[str, Any] = {"units": 5, "labels": labels, "num_classes": K}
    networks: dict[str, nn.Module] = {
        "encoder": AAEEncoder(SHAPE, Z, **of_labels),
        "decoder": AAEDecoder(SHAPE, Z, **of_labels),
        "discriminator": CodeDiscriminator(Z, **of_labels),
        "category_discriminator": CategoryDiscriminator(**of_labels),
    }
    for network in networks.values():
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.5)
    players = ("autoencoder", "discriminator", "encoder", "classifier")
    optimizers = dict.fromkeys(players, partial(torch.optim.SGD, lr=RATE))
    system = AAE(networks, NonSaturating(), latent_dim=Z, prior=prior, labels=labels, optimizers=optimizers, **options)
    system.trainer = Alone()  # type: ignore[assignment]
    system.configure_optimizers()
    system.on_fit_start()
    return system


def batch(n: int = N) -> ImageBatch:
    random = torch.Generator().manual_seed(1)
    return ImageBatch(torch.rand(n, *SHAPE, generator=random) * 2 - 1, torch.arange(n) % K)
