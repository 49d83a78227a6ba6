"""One of two gloo processes that score a GAN together: ``sharing_program.py RANK FOLDER``."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from saddlepoint.data import DataModule, Digits
from saddlepoint.evaluation.base import Settings
from saddlepoint.evaluation.panel import assistants, panel
from saddlepoint.losses import NonSaturating
from saddlepoint.metrics.features import RandomFeatures
from saddlepoint.networks import MLPDiscriminator, MLPGenerator
from saddlepoint.systems import GAN


def evaluate(rank: int) -> list[dict[str, float]]:
    """Score an untrained GAN twice; ranks other than 0 return no scores."""
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {
        "generator": MLPGenerator((1, 8, 8), 6, (16,)),
        "discriminator": MLPDiscriminator((1, 8, 8), (16,)),
    }
    optimizers = dict.fromkeys(networks, partial(torch.optim.SGD, lr=0.1))
    gan, data = GAN(networks, NonSaturating(), latent_dim=6, optimizers=optimizers), DataModule(Digits())
    if rank == 0:
        judge = panel(gan, data, Settings(n=150, metrics=["fid"]), RandomFeatures())
    else:
        judge = assistants(gan, data, RandomFeatures())
    return [{card.metric: card.value for card in judge.score(gan)} for _ in range(2)]


if __name__ == "__main__":
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    (folder / f"rank{rank}.json").write_text(json.dumps(evaluate(rank)))
    dist.destroy_process_group()
