"""Sampling of the autoregressive models one pixel at a time, against a forward pass of the whole image for each pixel.

    python benchmarks/pixels.py                  # all models at 32 px with 16 features, batches of 64
    python benchmarks/pixels.py pixelcnn --side 28 --batch 8

The naive sampler's time is that of a forward pass, times the number of pixels and channels. Both run alternately on one
thread. Prints the ratio, and the largest difference of the logits of both.
"""

from __future__ import annotations

import argparse
import statistics
import time
from functools import partial
from typing import Any

import torch
from torch.optim import Adam

from saddlepoint.networks import DiagonalBiLSTMDecoder, PixelCNNDecoder, RowLSTMDecoder
from saddlepoint.networks.layers.masked import Scan
from saddlepoint.systems import Autoregressive

NETWORKS: dict[str, Any] = {
    "pixelcnn": PixelCNNDecoder,
    "gated": partial(PixelCNNDecoder, gated=True),
    "row_lstm": RowLSTMDecoder,
    "diagonal_bilstm": DiagonalBiLSTMDecoder,
}
ROUNDS = 3


def seconds(function: Any) -> float:
    """Return the time of one call."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def largest_difference(system: Autoregressive, images: torch.Tensor) -> float:
    """Return the largest difference between the logits of whole images and those of one pixel at a time."""
    height, width = images.shape[2:]
    with torch.no_grad():
        whole, scan, largest = system.decoder(images), Scan(height, width), 0.0
        for scan.row in range(height):
            for scan.column in range(width):
                logits = system.decoder(images, scan)[..., 0, 0]
                difference = (logits - whole[..., scan.row, scan.column]).abs().max()
                largest = max(largest, difference.item())
    return largest


def measure(name: str, shape: tuple[int, int, int], batch: int, layers: int) -> None:
    """Print the row of a model."""
    torch.manual_seed(0)
    decoder = NETWORKS[name](shape, 16, layers, 32, likelihood="bernoulli").eval()
    system = Autoregressive(networks={"decoder": decoder}, optimizers={"decoder": partial(Adam, lr=1e-3)})
    system.block = batch
    images = system.sample(batch, seed=0)
    steps, fast, naive = images[0].numel(), [], []
    for _ in range(ROUNDS):
        fast.append(seconds(lambda: system.sample(batch, seed=0)))
        with torch.no_grad():
            naive.append(seconds(lambda: decoder(images)) * steps)
    ratio = statistics.median(slow / quick for slow, quick in zip(naive, fast, strict=True))
    difference = largest_difference(system, images)
    times = f"{statistics.median(fast):.2f} s | {statistics.median(naive):.1f} s"
    print(f"| {name}, {'x'.join(map(str, shape))}, batch {batch} | {times} | {ratio:.0f} | {difference:.1e} |")


def main() -> None:
    """Measure the models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=list(NETWORKS), metavar="model", help=", ".join(NETWORKS))
    parser.add_argument("--side", type=int, default=32, help="of the images, in pixels")
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--layers", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| model | ours | naive | ratio | difference of logits |\n|---|---|---|---|---|")
    for name in arguments.models:
        measure(name, (arguments.channels, arguments.side, arguments.side), arguments.batch, arguments.layers)


if __name__ == "__main__":
    main()
