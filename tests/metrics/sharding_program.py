"""One of two gloo processes that share an evaluation: ``sharding_program.py RANK FOLDER``."""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from saddlepoint.metrics.evaluation import Evaluator
from saddlepoint.metrics.real import RealStatistics
from saddlepoint.metrics.sharding import shard

AT = {
    "ema": True, "batchnorm": "running", "labels": "none", "images_seen": 640, "generator_updates": 9, "revision": "a",
}  # fmt: skip
METRICS = (
    *("fid", "is", "kid", "precision", "nearest_train", "duplicates"),
    *("authenticity", "data_copying", "fld", "spectrum"),
)
N = 300


def fakes() -> tuple[torch.Tensor, torch.Tensor]:
    """Return slightly darker held-out digits and their labels."""
    from conftest import make_digits

    images, labels = make_digits().splits["held_out"]
    assert labels is not None
    return (images.float() * 0.9).to(torch.uint8)[:N], labels[:N]


def evaluate(folder: Path) -> dict[str, float]:
    """Score this process's shard of the images; rank 0 returns all figures."""
    from conftest import Grid, make_digits  # in this program's directory

    extractor = Grid()
    reference = RealStatistics.compute(make_digits(), extractor, folder, N, metrics=METRICS)
    extractor.calls.clear()
    first, count = shard(N)
    images, labels = (rows[first : first + count] for rows in fakes())
    cards = Evaluator(extractor, reference, METRICS, N).score(images.split(64), labels, **AT)
    assert sum(extractor.calls) == count
    return {card.metric: card.value for card in cards}


if __name__ == "__main__":
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    (folder / f"rank{rank}.json").write_text(json.dumps([shard(N), evaluate(folder)]))
    dist.destroy_process_group()
