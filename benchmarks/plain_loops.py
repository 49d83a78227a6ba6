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
from torch.nn.utils import parametrize
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from saddlepoint.compilation import compile_networks
from saddlepoint.losses import Hinge, Relativistic
from saddlepoint.networks.layers.statistics import compares_samples
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
        labels: classes, long [N], or None; used if the system is conditional.
        batch_size: of each round.
        precision: ``32-true`` or ``bf16-mixed``.
    """

    def __init__(self, system: GAN, samples: Tensor, labels: Tensor | None, batch_size: int, precision: str) -> None:
        self.G, self.D, self.average = system.generator, system.discriminator, getattr(system, "ema_generator", None)
        self.labels = labels if system.num_classes else None
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
        self.hinge, self.paired = isinstance(system.loss, Hinge), isinstance(system.loss, Relativistic)
        self.penalties = {name: (part.weight, part.interval) for name, part in system.regularizers.items()}
        assert self.penalties.keys() <= {"r1", "r2", "orthogonal"}, "the bare loop has no other penalties"
        self.together = not compares_samples(self.D)
        self.batches, self.turns, self.updates = self.endless(), 0, 0

    def endless(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield batches in [-1, 1] and their labels from memory, by one gather each."""
        while True:
            for indices in torch.randperm(len(self.samples)).split(self.batch_size):
                if len(indices) == self.batch_size:
                    chosen = self.samples.index_select(0, indices)
                    labels = None if self.labels is None else self.labels[indices]
                    if chosen.dim() == 4:
                        chosen = chosen.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
                    yield chosen, labels

    def latents(self) -> Tensor:
        """Draw latents [batch, Z]."""
        if self.prior == "normal":
            return torch.randn(self.batch_size, self.z_dim)
        return torch.empty(self.batch_size, self.z_dim).uniform_(-1, 1)

    def play(self, rounds: int) -> None:
        """Train for some rounds."""
        for _ in range(rounds):
            real, labels = next(self.batches)
            self.turn_of_d(real, labels)
            self.turns += 1
            if self.turns % self.k:
                continue
            self.turn_of_g(real, labels)
            self.updates += 1
            if self.average is not None:
                with torch.no_grad():
                    torch._foreach_lerp_(list(self.average.parameters()), list(self.G.parameters()), 1 - self.decay)
                    if buffers := list(self.average.buffers()):
                        torch._foreach_copy_(buffers, list(self.G.buffers()))

    def cast(self) -> Any:
        """Return the context of the forward pass."""
        return torch.autocast("cpu", torch.bfloat16) if self.autocast else nullcontext()

    def turn_of_d(self, real: Tensor, labels: Tensor | None) -> None:
        """Take a step of D: fakes without a graph, real and fake in one pass if D's normalization allows it."""
        with torch.no_grad(), self.cast():
            fake = self.G(self.latents(), labels)
        with self.cast():
            if self.together:
                both = None if labels is None else torch.cat([labels, labels])
                on_real, on_fake = self.D(torch.cat([real, fake]), both).logits.chunk(2)
            else:
                on_real, on_fake = self.D(real, labels).logits, self.D(fake, labels).logits
            if self.hinge:
                loss = relu(1 - on_real).mean() + relu(1 + on_fake).mean()
            elif self.paired:
                loss = softplus(on_fake - on_real).mean()
            else:
                loss = softplus(-on_real).mean() + softplus(on_fake).mean()
        for name, samples in (("r1", real), ("r2", fake)):
            weight, interval = self.penalties.get(name, (0.0, 1))
            if weight and self.turns % interval == 0:
                x = samples.detach().requires_grad_()
                (gradient,) = torch.autograd.grad(self.D(x, labels).logits.sum(), x, create_graph=True)
                loss = loss + interval * weight / 2 * gradient.square().sum((1, 2, 3)).mean()
        self.optimizer_D.zero_grad()
        loss.backward()
        self.optimizer_D.step()

    def turn_of_g(self, real: Tensor, labels: Tensor | None) -> None:
        """Take a step of G, without gradients of D's weights."""
        for parameter in self.D.parameters():
            parameter.requires_grad_(False)
        with self.cast():
            fake = self.G(self.latents(), labels)
            if self.paired:
                with torch.no_grad():
                    on_real = self.D(real, labels).logits
            on_fake = self.D(fake, labels).logits
            loss = -on_fake.mean() if self.hinge else softplus(on_real - on_fake if self.paired else -on_fake).mean()
        if "orthogonal" in self.penalties:
            loss = loss + self.penalties["orthogonal"][0] * off_diagonal(self.G)
        self.optimizer_G.zero_grad()
        loss.backward()
        self.optimizer_G.step()
        for parameter in self.D.parameters():
            parameter.requires_grad_(True)


def off_diagonal(network: nn.Module) -> Tensor:
    """Return BigGAN's orthogonal penalty, Σ ‖W Wᵀ ⊙ (1 - I)‖², over convolutions and linear layers."""
    total = torch.zeros(())
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            parametrized = parametrize.is_parametrized(layer, "weight")
            weight = (layer.parametrizations["weight"].original if parametrized else layer.weight).flatten(1)
            smaller = weight if len(weight) <= weight.shape[1] else weight.t()
            total = total + (smaller @ smaller.t()).square().sum() - weight.square().sum(1).square().sum()
    return total


class CompiledLoop(BareLoop):
    """The bare loop with compiled networks."""

    def __init__(self, system: GAN, samples: Tensor, labels: Tensor | None, batch_size: int, precision: str) -> None:
        compile_networks(system.networks)
        super().__init__(system, samples, labels, batch_size, precision)


class TutorialLoop:
    """The same algorithm, written as in PyTorch's tutorials: correct, but not optimized.

    Images one by one through a Dataset and transforms, contiguous networks, Adam as it comes, two passes of D, fakes
    with a graph that is cut off, gradients of D's weights in G's step, an average weight by weight.

    Args:
        system: one like that to compare with.
        samples: images uint8 [N, H, W, C].
        labels: not used.
        batch_size: of each round.
        precision: not used; a tutorial's loop is in float32.
    """

    def __init__(
        self, system: GAN, samples: Tensor, labels: Tensor | None, batch_size: int, precision: str = "32-true"
    ) -> None:
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
