"""How the data set's own classifier is built and trained: one recipe for every data set, and a bounded cost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint import randomness
from saddlepoint.metrics.precision import full_float32
from saddlepoint.metrics.progress import line
from saddlepoint.metrics.real import rows_of

if TYPE_CHECKING:
    from saddlepoint.metrics.real import RealData

RECIPE = "2"
"""Raised with every change to this file that changes a trained weight."""
DIM = 128
SIDE = 32
"""Larger images meet a strided first layer that brings them down to this many pixels a side."""
ACTIVATION = 4 * 32 * SIDE**2
"""Bytes of the first layer's outputs, an image."""
MAX_BYTES = 2**30
"""Images held in memory while training; of larger data sets a seeded part is used."""
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.05
MAX_STEPS = 2_000
MIN_CYCLE_STEPS = 100
ENOUGH = 0.985
"""Accuracy on the last quarter of a cycle's training images at which training ends."""


class SmallCNN(nn.Module):
    """Three convolutions, a 4×4 map, one hidden layer of 128 units under dropout, one linear layer: 0.19 M weights.

    No batch normalisation: its running statistics are of real images, and make a network so trained certain of very
    little about images that are almost real, while a human reads them well. The map keeps its layout, so that strokes
    in the wrong place are seen.

    Args:
        channels: 1 to 4.
        stride: of the first convolution.
        num_classes: K.
    """

    def __init__(self, channels: int, stride: int, num_classes: int) -> None:
        super().__init__()
        pool = nn.MaxPool2d(2, ceil_mode=True)
        self.body = nn.Sequential(
            *convolution(channels, 32, stride), pool, *convolution(32, 64), pool, *convolution(64, 64),
            nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64 * 16, DIM), nn.ReLU(),
        )  # fmt: skip
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(DIM, num_classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features [N, 128] and logits [N, K] of uint8 images [N, C, H, W]."""
        x = (images.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        features = self.body(x)
        return features, self.head(self.dropout(features))

    @staticmethod
    def architecture(shape: tuple[int, ...], num_classes: int) -> dict[str, int]:
        """Return the arguments that fit images of ``shape``."""
        channels, height, width = shape
        return {"channels": channels, "stride": math.ceil(max(height, width) / SIDE), "num_classes": num_classes}


def convolution(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    """Return convolution and ReLU; the kernel grows with the stride so that no pixel is skipped."""
    size = max(3, 2 * stride - 1)
    layer = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return [layer, nn.ReLU()]


# A caller may evaluate under inference_mode or no_grad; this part learns.
@torch.inference_mode(False)
@torch.enable_grad()
def train(real: RealData, architecture: dict[str, int], device: torch.device) -> SmallCNN:
    """Train on the train split, in one line of progress on stderr.

    AdamW under a cosine with warm restarts (Loshchilov and Hutter 2017, arXiv:1608.03983), whose cycles double; it
    ends after the cycle whose last quarter was right often enough, or when the next one would pass 2,000 steps. So easy
    data take one epoch and hard data several, by one rule. Weights and order are keyed by the data's fingerprint.
    """
    seed = randomness.key(0, "classifier", RECIPE, real.info.fingerprint)
    # Dropout can only draw from the device's own stream; so that one is keyed, and put back afterwards.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        return _train(real, architecture, device, seed)


def _train(real: RealData, architecture: dict[str, int], device: torch.device, seed: int) -> SmallCNN:
    info = real.info
    images, labels = load(real, seed)
    network = SmallCNN(**architecture)
    network = network.to(device).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    batch = 64 if len(images) < 10_000 else 128
    cycle = max(math.ceil(len(images) / batch), MIN_CYCLE_STEPS)
    order = Order(len(images), batch, seed)
    done, accuracy = 0, 0.0
    with full_float32(device), line() as progress:
        task = progress.add_task(f"classifier on {info.name}: training, once", total=None)
        while done == 0 or (accuracy < ENOUGH and done + cycle <= MAX_STEPS):
            steps = min(cycle, MAX_STEPS)
            right = []
            progress.update(task, completed=0, total=steps)
            for step in range(steps):
                for group in optimizer.param_groups:
                    group["lr"] = LEARNING_RATE * (1 + math.cos(math.pi * step / steps)) / 2
                rows = order.next()
                right.append(learn(network, optimizer, images[rows].to(device), labels[rows].to(device)))
                progress.advance(task)
            done, cycle = done + steps, cycle * 2
            accuracy = float(torch.stack(right[-max(steps // 4, 1) :]).mean())
            text = f"classifier on {info.name}: {done} steps, {accuracy:.1%} right"
            progress.update(task, description=text)
    return network


def learn(network: SmallCNN, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> Tensor:
    """Take one step and return the share that was right before it, a scalar on the device."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=has_bfloat16(images.device)):
        _, logits = network(images)
        loss = functional.cross_entropy(logits, labels)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return (logits.detach().argmax(1) == labels).float().mean()


def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 here, not merely emulated."""
    if device.type == "cpu":
        return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


class Order:
    """Endless batches of row indices: one keyed permutation an epoch, batches across epochs."""

    def __init__(self, rows: int, batch: int, seed: int) -> None:
        self.rows, self.batch, self.seed, self.epoch = rows, batch, seed, 0
        self.left = torch.empty(0, dtype=torch.long)

    def next(self) -> Tensor:
        """Return the next batch, long [batch]."""
        while len(self.left) < self.batch:
            generator = randomness.generator("cpu", self.seed, "order", self.epoch)
            self.left, self.epoch = (
                torch.cat([self.left, torch.randperm(self.rows, generator=generator)]),
                self.epoch + 1,
            )
        batch, self.left = self.left[: self.batch], self.left[self.batch :]
        return batch


def load(real: RealData, seed: int) -> tuple[Tensor, Tensor]:
    """Read the train split, or as much of it as fits, as uint8 [N, C, H, W] and long [N]."""
    size = real.info.sizes["train"]
    rows = min(size, MAX_BYTES // math.prod(real.info.shape))
    images, labels = [], []
    for batch, names, keep in rows_of(real, "train", rows, seed):
        assert names is not None
        images.append(batch[keep])
        labels.append(names[keep])
    return torch.cat(images), torch.cat(labels)


def held_out_accuracy(network: SmallCNN, real: RealData, device: torch.device) -> float:
    """Return the share of held-out images that the network names right."""
    right, total = 0, 0
    network.eval()
    with torch.inference_mode(), full_float32(device):
        for images, labels in real.uint8_batches("held_out"):
            assert labels is not None
            right += int((network(images.to(device))[1].argmax(1).cpu() == labels).sum())
            total += len(images)
    return right / total
