"""Training with energies: BEGAN's control and its state, and EBGAN with the pulling-away term."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytorch_lightning as pl
import torch
from torch import nn

from saddlepoint.losses import BEGAN, EBGAN, AdversarialLoss
from saddlepoint.networks import AutoencoderDiscriminator, AutoencoderGenerator
from saddlepoint.regularizers import PullingAway, Regularizer
from saddlepoint.systems import GAN
from saddlepoint.types import VectorBatch


def system(loss: AdversarialLoss, **regularizers: Regularizer) -> GAN:
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {
        "generator": AutoencoderGenerator((2,), 3, 4, "none"),
        "discriminator": AutoencoderDiscriminator((2,), 4),
    }
    adam = partial(torch.optim.Adam, lr=1e-3)
    optimizers = {"generator": adam, "discriminator": adam}
    return GAN(networks, loss, latent_dim=3, optimizers=optimizers, regularizers=regularizers)


class Rounds:
    """Batches of points on a circle."""

    def __init__(self, first: int, last: int) -> None:
        self.range = range(first, last)

    def __iter__(self) -> Iterator[VectorBatch]:
        for index in self.range:
            angles = torch.rand(8, generator=torch.Generator().manual_seed(index)) * 6.28
            yield VectorBatch(torch.stack([angles.cos(), angles.sin()], 1))

    def __len__(self) -> int:
        return len(self.range)


def fit(game: GAN, first: int, last: int) -> None:
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(game, Rounds(first, last))


def test_began_updates_and_logs_its_control() -> None:
    game = system(BEGAN(gamma=0.7, rate=0.01))
    expected = 0.0
    for index in range(4):
        fit(game, index, index + 1)
        real, fake = game.logs["discriminator/logits_real"].mean(), game.logs["generator/logits_fake"].mean()
        balance = (0.7 * real - fake).item()
        expected = min(max(expected + 0.01 * balance, 0.0), 1.0)
        torch.testing.assert_close(game.logs["generator/k"], torch.tensor(expected), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(game.logs["generator/convergence"], real + abs(balance), rtol=1e-5, atol=1e-6)
    assert expected > 0


def test_began_resumes_from_its_saved_state() -> None:
    whole, other = system(BEGAN(rate=0.01)), system(BEGAN(rate=0.01))
    fit(whole, 0, 3)
    checkpoint: dict[str, object] = {}
    whole.on_save_checkpoint(checkpoint)
    other.on_load_checkpoint(checkpoint)
    other.load_state_dict(whole.state_dict())
    assert {"loss.k", "loss.real_energy"} <= set(whole.state_dict())
    # Both start with new optimizers, so that the next rounds are bitwise the same.
    for game in (whole, other):
        fit(game, 3, 5)
    assert isinstance(whole.loss, BEGAN)
    assert isinstance(other.loss, BEGAN)
    assert whole.loss.k.item() == other.loss.k.item() > 0


def test_ebgan_raises_the_energy_of_samples_to_the_margin_and_reduces_their_similarity() -> None:
    game = system(EBGAN(margin=20.0), pulling_away=PullingAway())
    fit(game, 0, 1)
    assert game.logs["discriminator/logits_fake"].mean() < 9
    fit(game, 1, 130)
    assert game.logs["discriminator/logits_fake"].mean() > 13
    assert 0 < game.logs["generator/pulling_away"] <= 0.1
