"""The semi-supervised adversarial autoencoder: Makhzani et al. 2015, arXiv:1511.05644."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from saddlepoint import randomness
from saddlepoint.losses.base import AdversarialLoss
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.systems.aae import AAE, Comparison
from saddlepoint.systems.capabilities import Draw, Picture, Shown
from saddlepoint.turns import Turn
from saddlepoint.types import Batch

TRAVERSED = 10
"""Number of rows of a picture of all classes, each with another style."""


class SemiSupervisedAAE(AAE):
    """An adversarial autoencoder with a categorical code y, trained on the labels of some samples.

    The encoder has two outputs: a continuous code z, the style, and the probabilities y of K classes. The decoder takes
    both. A second discriminator compares y with one-hot draws of equally likely classes. A fourth turn, of the encoder
    on labelled samples, minimizes the cross-entropy of y. Codes are [z, y], [N, Z + K]. Samples have one-hot y.
    """

    roles: Mapping[str, tuple[str, ...]] = {
        "autoencoder": ("encoder", "decoder"),
        "discriminator": ("discriminator", "category_discriminator"),
        "encoder": ("encoder",),
        "classifier": ("encoder",),
    }
    encoder_outputs = ("latents", "class_logits")

    category_discriminator: nn.Module

    def __init__(self, networks: Mapping[str, nn.Module], loss: AdversarialLoss, **options: Any) -> None:
        super().__init__(networks, loss, **options)
        self.classes = int(self.encoder.num_classes)  # type: ignore[arg-type]

    def round(self, batch: Batch) -> None:
        """Run the turns of reconstruction and of regularization, then the turn of semi-supervised classification."""
        super().round(batch)
        self.turn("classifier", loss=self.classification_loss, batch=batch)

    def compared(self, batch: Batch) -> Iterable[Comparison]:
        """Yield the comparisons of styles and of categories."""
        n, encoded = len(batch), self.encoder(self.noisy(batch.samples))
        yield Comparison(self.discriminator, self.draw_prior(n), encoded.style, None)
        y = at_least_float32(encoded.class_logits).softmax(1)
        classes = torch.randint(self.classes, (n,), generator=self.random, device=y.device)
        yield Comparison(self.category_discriminator, one_hot(classes, self.classes).to(y.dtype), y, None)

    def classification_loss(self, batch: Batch) -> Turn:
        """Return the cross-entropy of y on as many labelled samples as the batch has, drawn at random."""
        assert batch.labels is not None
        known = (batch.samples, batch.labels) if self.labelled is None else self.draw_labelled(len(batch))
        logits = at_least_float32(self.encoder(self.noisy(known[0])).class_logits)
        logs = {"accuracy": (logits.detach().argmax(1) == known[1]).float().mean()}
        return Turn(
            cross_entropy(logits, known[1]), self.networks, self.random, real=known[0], labels=known[1], logs=logs
        )

    def code_of(self, encoded: Any) -> Tensor:
        """Return the code [z, y] of the encoder's output."""
        return torch.cat([encoded.style, encoded.class_logits.softmax(1)], 1)

    @property
    def described_prior(self) -> str:
        """The distribution of styles and classes, for exports."""
        return f"{super().described_prior} of {self.latent_dim}, one-hot of {self.classes}"

    def draw(self, seed: int, start: int, count: int, truncation: float = 1.0) -> Draw:
        """Return codes with one-hot y of equally likely classes, keyed by (seed, sample index)."""

        def classes(n: int, random: torch.Generator) -> Tensor:
            return torch.randint(self.classes, (n,), generator=random)

        y = one_hot(randomness.rows(classes, seed, "labels", start, count), self.classes)
        z = super().draw(seed, start, count, truncation).latents
        return Draw(torch.cat([z, y.to(z.dtype)], 1), truncation=truncation)

    def has_discrete_codes(self) -> bool:
        """Return True."""
        return True

    @torch.no_grad()
    def infer_codes(self, samples: Tensor, ema: bool = True) -> Tensor:
        """Return the most likely class, long [N], of samples [N, ...]; by the averaged weights, if wanted and there."""
        return self.encode(samples, ema)[:, self.latent_dim :].argmax(1)

    @property
    def traversable(self) -> int:
        """Number of categorical codes, 1."""
        return 1

    def traverse(self, index: int, rows: int, columns: int, seed: int, ema: bool = True) -> Tensor:
        """Return rows of samples with one style each, of classes 0, 1, …, repeated if there are fewer than columns."""
        z = self.draw(seed, 0, rows).latents[:, : self.latent_dim].repeat_interleave(columns, 0)
        y = one_hot((torch.arange(columns) % self.classes).repeat(rows), self.classes)
        return self.sample(len(z), latents=torch.cat([z, y.to(z.dtype)], 1), ema=ema)

    def pictures(self, n: int, seed: int, held_out: Batch | None) -> Mapping[str, Shown]:
        """Return the pictures of an AAE, and one with a column per class and a row per style."""
        picture = Picture(self.traverse(0, TRAVERSED, self.classes, seed), self.classes)
        return {**super().pictures(n, seed, held_out), "classes": picture}
