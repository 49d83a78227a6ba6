"""A GAN in the latent space of a frozen model is trained on codes and does not contain the model's weights."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saddlepoint.losses import NonSaturating
from saddlepoint.networks import MLPDiscriminator, MLPGenerator
from saddlepoint.systems import GAN
from saddlepoint.systems.encoders import Encoder, FrozenEncoder
from saddlepoint.systems.game import Game
from saddlepoint.turns import Turn
from saddlepoint.types import Batch, ImageBatch, VectorBatch

SGD = partial(torch.optim.SGD, lr=0.1)
IMAGES = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


class Autoencoder(Game):
    """Encodes images [N, 1, 4, 4] by a matrix with orthonormal rows, and decodes by its transpose.

    Codes are vectors [N, 4], or maps [N, 1, 2, 2].
    """

    roles = {"autoencoder": ("encoder",)}  # noqa: RUF012

    def __init__(self, maps: bool = False) -> None:
        torch.manual_seed(0)
        encoder = nn.utils.parametrizations.orthogonal(nn.Linear(16, 4, bias=False))
        super().__init__({"encoder": nn.Sequential(nn.Flatten(), encoder, nn.Dropout(0.5))}, {"autoencoder": SGD})
        self.maps = maps

    def encode(self, samples: Tensor, ema: bool = True) -> Tensor:
        codes: Tensor = self.networks["encoder"](samples)
        return codes.unflatten(1, (1, 2, 2)) if self.maps else codes

    def decode(self, codes: Tensor, ema: bool = True) -> Tensor:
        return (codes.flatten(1) @ self.matrix).unflatten(1, (1, 4, 4))

    @property
    def matrix(self) -> Tensor:
        weight: Tensor = self.networks["encoder"][1].weight  # type: ignore[index]
        return weight


class Alone:
    """The attributes of a trainer that a game uses, for one process."""

    world_size, global_rank, precision_plugin = 1, 0, None


class Witness(GAN):
    """A GAN that stores the last batch of its turns."""

    def discriminator_loss(self, batch: Batch) -> Turn:
        self.seen = batch
        return super().discriminator_loss(batch)


def latent_gan(encoder: Encoder | None, shape: tuple[int, ...] = (4,)) -> Any:
    torch.manual_seed(3)
    networks = {"generator": MLPGenerator(shape, 2, [5], norm="none"), "discriminator": MLPDiscriminator(shape, [5])}
    optimizers = {"generator": SGD, "discriminator": SGD}
    game: Any = Witness(networks, NonSaturating(), latent_dim=2, optimizers=optimizers, encoder=encoder)
    game.trainer = Alone()
    game.configure_optimizers()
    game.on_fit_start()
    return game


@pytest.mark.parametrize("maps", [False, True])
def test_the_system_is_trained_on_codes_with_the_labels_of_samples(maps: bool) -> None:
    model = Autoencoder(maps)
    matrix = model.matrix.detach().clone()
    game = latent_gan(FrozenEncoder(model), (1, 2, 2) if maps else (4,))
    before = copy.deepcopy(model.state_dict())
    game.training_step(ImageBatch(IMAGES, LABELS), 0)
    codes = IMAGES.flatten(1) @ matrix.T
    torch.testing.assert_close(game.seen.samples.flatten(1), codes)  # no dropout in evaluation mode
    assert type(game.seen) is (ImageBatch if maps else VectorBatch)
    assert torch.equal(game.seen.labels, LABELS)
    assert not game.seen.samples.requires_grad
    assert game.progress.images_seen == 6
    assert game.progress.generator_updates == 1
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_samples_are_decoded() -> None:
    model = Autoencoder()
    game, plain = latent_gan(FrozenEncoder(model)), latent_gan(None)
    codes = plain.sample(5, seed=1)
    assert codes.shape == (5, 4)
    images = game.sample(5, seed=1)
    assert not images.requires_grad
    torch.testing.assert_close(images, (codes @ model.matrix).detach().unflatten(1, (1, 4, 4)))
    torch.testing.assert_close(model.encode(images), codes)


def test_the_system_does_not_contain_the_models_tensors() -> None:
    """Neither checkpoints, nor optimizers, nor the tensors that ranks reduce contain them."""
    model = Autoencoder()
    game, plain = latent_gan(FrozenEncoder(model)), latent_gan(None)
    assert game.state_dict().keys() == plain.state_dict().keys()
    assert [name for name, _ in game.named_parameters()] == [name for name, _ in plain.named_parameters()]
    assert [name for name, _ in game.named_modules()] == [name for name, _ in plain.named_modules()]
    own = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
    held = [*game.parameters(), *game.buffers(), *game.statistics]
    held += [p for optimizer in game.raw_optimizers for group in optimizer.param_groups for p in group["params"]]
    assert own
    assert not own & {id(tensor) for tensor in held}
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not model.training
    game.train()
    assert not model.training


def test_the_model_is_moved_to_the_device_of_its_input() -> None:
    model = Autoencoder()
    encoder = FrozenEncoder(model)
    assert encoder.encode_batch(ImageBatch(IMAGES)).samples.device.type == "cpu"
    assert encoder.encode_batch(ImageBatch(IMAGES.to("meta"))).samples.is_meta
    assert all(parameter.is_meta for parameter in model.parameters())
    model = Autoencoder()
    assert FrozenEncoder(model).decode(torch.zeros(2, 4, device="meta")).is_meta
    assert all(parameter.is_meta for parameter in model.parameters())


def test_the_identity_changes_nothing() -> None:
    batch = ImageBatch(IMAGES, LABELS)
    assert Encoder().encode_batch(batch) is batch
    assert Encoder().decode(IMAGES) is IMAGES
