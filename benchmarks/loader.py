"""Images per second of the data loaders, compared with the loader of a torchvision tutorial.

    python benchmarks/loader.py [--rounds 5] [--batches 100]

CIFAR-10's shape (50,000 images of 32x32x3, uint8), batches of 64, flips and normalization to [-1, 1], CPU, one thread.
The loaders run alternately, so that a busy machine slows all of them down equally; a ratio is the median over rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from saddlepoint.data.loader import MemoryLoader, Rows, WorkerLoader

BATCH = 64
BASELINE = "torchvision dataset, 0 workers"


class Plain(Dataset[tuple[torch.Tensor, int]]):
    """A data set that handles an item as torchvision.datasets.CIFAR10 does: array → PIL → transforms."""

    def __init__(self, data: np.ndarray, labels: list[int]):
        self.data, self.labels = data, labels
        self.transform = transforms.Compose(
            [
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
            ]
        )

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """Return an image in [-1, 1], [3, 32, 32], and its label."""
        return self.transform(Image.fromarray(self.data[index])), self.labels[index]


def images_per_second(batches: Iterator[object], count: int) -> float:
    """Return the time of ``count`` batches, after a few that start workers and fill queues."""
    for _ in range(10):
        next(batches)
    start = time.perf_counter()
    for _ in range(count):
        next(batches)
    return count * BATCH / (time.perf_counter() - start)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=100)
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    rng = np.random.default_rng(0)
    data = rng.integers(256, size=(50_000, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(10, size=50_000)
    table, plain = Rows({"images": torch.from_numpy(data)}, torch.from_numpy(labels)), Plain(data, labels.tolist())

    ways: dict[str, Callable[[], Iterator[object]]] = {
        BASELINE: lambda: iter(DataLoader(plain, BATCH, shuffle=True, drop_last=True)),
        "torchvision dataset, 2 workers": lambda: iter(
            DataLoader(plain, BATCH, shuffle=True, drop_last=True, num_workers=2)
        ),
        "WorkerLoader, 2 workers": lambda: iter(
            WorkerLoader(table, batch_size=BATCH, seed=0, flip=True, num_workers=2)
        ),
        "MemoryLoader": lambda: iter(MemoryLoader(table, batch_size=BATCH, seed=0, flip=True)),
    }
    speeds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(arguments.rounds):
        for way, batches in ways.items():
            speeds[way].append(images_per_second(batches(), arguments.batches))

    print(f"{'way':<32}{'images/s':>12}{'ratio':>9}")
    for way, measured in speeds.items():
        ratio = statistics.median(x / base for x, base in zip(measured, speeds[BASELINE], strict=True))
        print(f"{way:<32}{statistics.median(measured):>12,.0f}{ratio:>8.1f}x")


if __name__ == "__main__":
    main()
