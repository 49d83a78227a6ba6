"""The loops that step.py compares the engine with; they share only networks and settings with it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import relu, softplus
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from saddlepoint.compilation import compile_networks
from saddlepoint.losses import Hinge
from saddlepoint.networks.layers.statistics import uses_batch_statistics
from saddlepoint.systems import GAN


class Loop(Protocol):
    """A training loop."""

    def play(self, rounds: int) -> None:
        """Train for some rounds: a step of D each, and a step of G after every ``discriminator_steps``."""


class BareLoop:
    """A loop with all optimizations of the engine, but without checks, counters, logs and schedules.

    Args:
        system: one like that to compare with, for its networks (channels_last) and settings.
        samples: images uint8 [N, H, W, C], or points [N, D].
        batch_size: of each round.
        precision: ``32-true`` or ``bf16-mixed``.
    """

    def __init__(self, system: GAN, samples: Tensor, batch_size: int, precision: str) -> None:
        self.G, self.D, self.average = system.generator, system.discriminator, system.ema_generator
        self.optimizer_D, self.optimizer_G = (
            torch.optim.Adam(network.parameters(), **adam(optimizer), fused=True)
            for network, optimizer in zip((self.D, self.G), system.configure_optimizers(), strict=True)
        )
        self.samples, self.batch_size, self.autocast = samples.contiguous(), batch_size, precision == "bf16-mixed"
        self.z_dim, self.k, self.decay, self.prior = (
            system.latent_dim,
            system.discriminator_steps,
            system.ema_decay,
            system.prior,
        )
        self.hinge = isinstance(system.loss, Hinge)
        self.together = not uses_batch_statistics(self.D)
        self.batches, self.turns = self.endless(), 0

    def endless(self) -> Iterator[Tensor]:
        """Yield batches in [-1, 1] from memory, by one gather each."""
        while True:
            for indices in torch.randperm(len(self.samples)).split(self.batch_size):
                if len(indices) == self.batch_size:
                    chosen = self.samples.index_select(0, indices)
                    yield chosen.permute(0, 3, 1, 2).float().div_(127.5).sub_(1) if chosen.dim() == 4 else chosen

    def latents(self) -> Tensor:
        """Draw latents [batch, Z]."""
        if self.prior == "normal":
            return torch.randn(self.batch_size, self.z_dim)
        return torch.empty(self.batch_size, self.z_dim).uniform_(-1, 1)

    def play(self, rounds: int) -> None:
        """Train for some rounds."""
        for _ in range(rounds):
            self.turn_of_d(next(self.batches))
            self.turns += 1
            if self.turns % self.k == 0:
                self.turn_of_g()
                with torch.no_grad():
                    torch._foreach_lerp_(list(self.average.parameters()), list(self.G.parameters()), 1 - self.decay)
                    if buffers := list(self.average.buffers()):
                        torch._foreach_copy_(buffers, list(self.G.buffers()))

    def cast(self) -> Any:
        """Return the context of the forward pass."""
        return torch.autocast("cpu", torch.bfloat16) if self.autocast else nullcontext()

    def turn_of_d(self, real: Tensor) -> None:
        """Take a step of D: fakes without a graph, real and fake in one pass if D's normalization allows it."""
        with torch.no_grad(), self.cast():
            fake = self.G(self.latents())
        with self.cast():
            if self.together:
                on_real, on_fake = self.D(torch.cat([real, fake])).logits.chunk(2)
            else:
                on_real, on_fake = self.D(real).logits, self.D(fake).logits
            if self.hinge:
                loss = relu(1 - on_real).mean() + relu(1 + on_fake).mean()
            else:
                loss = softplus(-on_real).mean() + softplus(on_fake).mean()
        self.optimizer_D.zero_grad()
        loss.backward()
        self.optimizer_D.step()

    def turn_of_g(self) -> None:
        """Take a step of G, without gradients of D's weights."""
        for parameter in self.D.parameters():
            parameter.requires_grad_(False)
        with self.cast():
            on_fake = self.D(self.G(self.latents())).logits
            loss = -on_fake.mean() if self.hinge else softplus(-on_fake).mean()
        self.optimizer_G.zero_grad()
        loss.backward()
        self.optimizer_G.step()
        for parameter in self.D.parameters():
            parameter.requires_grad_(True)


class CompiledLoop(BareLoop):
    """The bare loop with compiled networks."""

    def __init__(self, system: GAN, samples: Tensor, batch_size: int, precision: str) -> None:
        compile_networks(system.networks)
        super().__init__(system, samples, batch_size, precision)


class TutorialLoop:
    """The same algorithm, written as in PyTorch's tutorials: correct, but not optimized.

    Images one by one through a Dataset and transforms, contiguous networks, Adam as it comes, two passes of D, fakes
    with a graph that is cut off, gradients of D's weights in G's step, an average weight by weight.

    Args:
        system: one like that to compare with.
        samples: images uint8 [N, H, W, C].
        batch_size: of each round.
        precision: not used; a tutorial's loop is in float32.
    """

    def __init__(self, system: GAN, samples: Tensor, batch_size: int, precision: str = "32-true") -> None:
        self.G, self.D = (
            network.to(memory_format=torch.contiguous_format) for network in (system.generator, system.discriminator)
        )
        self.average = copy.deepcopy(self.G)
        self.optimizer_D, self.optimizer_G = (
            torch.optim.Adam(network.parameters(), **adam(optimizer))
            for network, optimizer in zip((self.D, self.G), system.configure_optimizers(), strict=True)
        )
        self.z_dim, self.k, self.hinge = system.latent_dim, system.discriminator_steps, isinstance(system.loss, Hinge)
        self.loader = DataLoader(OneByOne(samples.numpy()), batch_size, shuffle=True, drop_last=True)
        self.batches, self.turns = self.endless(), 0
        self.criterion = nn.BCEWithLogitsLoss()

    def endless(self) -> Iterator[Tensor]:
        """Yield batches, epoch after epoch."""
        while True:
            yield from self.loader

    def play(self, rounds: int) -> None:
        """Train for some rounds."""
        for _ in range(rounds):
            real = next(self.batches)
            n = len(real)
            self.optimizer_D.zero_grad()
            fake = self.G(torch.randn(n, self.z_dim))
            on_real, on_fake = self.D(real).logits, self.D(fake.detach()).logits
            if self.hinge:
                loss_D = relu(1 - on_real).mean() + relu(1 + on_fake).mean()
            else:
                loss_D = self.criterion(on_real, torch.ones(n)) + self.criterion(on_fake, torch.zeros(n))
            loss_D.backward()
            self.optimizer_D.step()
            self.turns += 1
            if self.turns % self.k:
                continue
            self.optimizer_G.zero_grad()
            on_fake = self.D(self.G(torch.randn(n, self.z_dim))).logits
            loss_G = -on_fake.mean() if self.hinge else self.criterion(on_fake, torch.ones(n))
            loss_G.backward()
            self.optimizer_G.step()
            with torch.no_grad():
                for old, new in zip(self.average.parameters(), self.G.parameters(), strict=True):
                    old.mul_(0.999).add_(new, alpha=0.001)
                for old, new in zip(self.average.buffers(), self.G.buffers(), strict=True):
                    old.copy_(new)


class OneByOne(Dataset[Tensor]):
    """A data set that handles an item as torchvision's do: array → PIL → transforms.

    Args:
        pixels: uint8 [N, H, W, C].
    """

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)])

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Tensor:
        """Return an image in [-1, 1], [3, H, W]."""
        image: Tensor = self.transform(Image.fromarray(self.pixels[index]))
        return image


def adam(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the learning rate and betas of an optimizer's config."""
    group = optimizer.param_groups[0]
    return {"lr": group["lr"], "betas": group["betas"]}
