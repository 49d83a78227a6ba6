"""Architecture and training of the data set's own classifier: one recipe for all data sets, at a bounded cost."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint import randomness
from saddlepoint.metrics.float32 import full_float32
from saddlepoint.metrics.rows import RealData, selected_batches
from saddlepoint.metrics.status_line import status_line

RECIPE = "2"
"""The recipe's version; increase it with every change to this file that changes trained weights."""
DIM = 128
SIDE = 32
"""The stride of the first layer reduces larger images to this many pixels a side."""
ACTIVATION = 4 * 32 * SIDE**2
"""Size of the first layer's output in bytes, per image."""
MAX_BYTES = 2**30
"""Memory limit for training images; of larger data sets a seeded subset is used."""
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.05
MAX_STEPS = 2_000
MIN_CYCLE_STEPS = 100
ENOUGH = 0.985
"""Training ends when the accuracy on the training images of the last quarter of a cycle reaches this."""


class SmallCNN(nn.Module):
    """Three convolutions, a 4×4 map, one hidden layer of 128 units under dropout, one linear layer: 0.19 M weights.

    It has no batch normalization, because with running statistics of real images the network's predictions for almost
    real images become uncertain, where a human has no difficulty. The 4×4 map preserves the layout, so that misplaced
    strokes have an effect.

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
        """Return the arguments for images of ``shape``."""
        channels, height, width = shape
        return {"channels": channels, "stride": math.ceil(max(height, width) / SIDE), "num_classes": num_classes}


def convolution(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    """Return a convolution and ReLU; the kernel size grows with the stride, so that no pixel is skipped."""
    size = max(3, 2 * stride - 1)
    layer = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return [layer, nn.ReLU()]


# The caller may be in inference_mode or no_grad.
@torch.inference_mode(False)
@torch.enable_grad()
def train(real: RealData, architecture: dict[str, int], device: torch.device) -> SmallCNN:
    """Return a classifier trained on the train split; a line on stderr shows the progress.

    AdamW with a cosine schedule with warm restarts (Loshchilov and Hutter 2017, arXiv:1608.03983), whose cycles double.
    Training ends after the first cycle with sufficient accuracy in its last quarter, or before the total would exceed
    2,000 steps. So easy data take one epoch and hard data several. Weights and order are seeded by the data's
    fingerprint.
    """
    seed = randomness.key(0, "classifier", RECIPE, real.info.fingerprint)
    # Dropout can only use the device's global generator, which is therefore seeded, and restored afterwards.
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
    with full_float32(device), status_line() as progress:
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
    """Take one step and return the accuracy on the batch before it, a scalar on the device."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=has_bfloat16(images.device)):
        _, logits = network(images)
        loss = functional.cross_entropy(logits, labels)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return (logits.detach().argmax(1) == labels).float().mean()


def has_bfloat16(device: torch.device) -> bool:
    """Return whether bfloat16 is computed by the hardware, not emulated."""
    if device.type == "cpu":
        # PyTorch 2.10 cannot tell, and trains in float32.
        capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return bool(capabilities.get("avx512_bf16", False))
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


class Order:
    """An endless sequence of batches of row indices: one seeded permutation per epoch; batches may span two epochs."""

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
    """Return the train split, or a subset that fits in memory, as uint8 [N, C, H, W] and long [N]."""
    size = real.info.sizes["train"]
    rows = min(size, MAX_BYTES // math.prod(real.info.shape))
    images, labels = [], []
    for batch, names, keep in selected_batches(real, "train", rows, seed):
        assert names is not None
        images.append(batch[keep])
        labels.append(names[keep])
    return torch.cat(images), torch.cat(labels)


def held_out_accuracy(network: SmallCNN, real: RealData, device: torch.device) -> float:
    """Return the network's accuracy on the held-out images."""
    right, total = 0, 0
    network.eval()
    with torch.inference_mode(), full_float32(device):
        for images, labels in real.uint8_batches("held_out"):
            assert labels is not None
            right += int((network(images.to(device))[1].argmax(1).cpu() == labels).sum())
            total += len(images)
    return right / total
