from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.losses import AdversarialLoss, Hinge, NonSaturating
from saddlepoint.networks import (
    MLPDiscriminator,
    MLPGenerator,
    PatchDiscriminator,
    PixelCNNDecoder,
    ResNetDiscriminator,
    ResNetGenerator,
    UNetGenerator,
    VAEDecoder,
    VAEEncoder,
)
from saddlepoint.networks.infogan import CodeLogits
from saddlepoint.regularizers import GradientPenalty, Regularizer
from saddlepoint.systems import GAN, VAE, Autoregressive, BiGAN, InfoGAN, Pix2Pix
from saddlepoint.systems.accumulation import pieces
from saddlepoint.systems.game import Game
from saddlepoint.turns import Turn
from saddlepoint.types import Batch, CriticOutput, ImageBatch, Paired, Unpaired

Z = 16  # a multiple of 16: torch.randn draws in blocks of 16, so micro-batches get the latents of the whole batch
SGD = partial(torch.optim.SGD, lr=0.0)  # keeps the weights constant


class Batches:
    """An iterable of batches; Lightning would combine the batches of a list."""

    def __init__(self, *batches: ImageBatch) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[ImageBatch]:
        return iter(self.batches)


def play(accumulate: int, n: int, loss: AdversarialLoss | None = None, **options: Any) -> GAN:
    """Return a GAN after one round on n random images, with the gradients of its last turns."""
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {
        "generator": ResNetGenerator((1, 8, 8), Z, 4, norm="none"),
        "discriminator": ResNetDiscriminator((1, 8, 8), 4),
    }
    optimizers = {"generator": SGD, "discriminator": SGD}
    system = GAN(
        networks,
        loss or Hinge(),
        latent_dim=Z,
        optimizers=optimizers,
        ema_decay=None,
        accumulate=accumulate,
        **options,
    )
    images = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    trainer = pl.Trainer(
        accelerator="cpu",
        precision="64-true",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(system, Batches(ImageBatch(images)))
    return system


def gradients(system: GAN) -> dict[str, Tensor]:
    return {name: p.grad for name, p in system.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("accumulate", "n"), [(2, 16), (4, 16), (3, 14), (16, 6)])
def test_micro_batches_give_the_gradients_of_the_whole_batch(accumulate: int, n: int) -> None:
    """Micro-batches of 14 samples have sizes 6, 4 and 4."""
    whole, split = play(1, n), play(accumulate, n)
    expected, found = gradients(whole), gradients(split)
    assert expected.keys() == found.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=1e-6, msg=name)
    assert max(gradient.abs().max().item() for gradient in expected.values()) > 1e-3
    for key in ("discriminator/loss", "generator/loss", "discriminator/logits_fake"):
        torch.testing.assert_close(split.logs[key].mean().double(), whole.logs[key].mean(), rtol=0, atol=1e-6)
    assert split.progress == whole.progress


class SizeOfReal(Regularizer):
    """E x² times the sum of the first parameter; its gradient is E x²."""

    def penalty(self, turn: Turn) -> Tensor:
        return self.weight * turn.real.square().mean() * next(turn.networks[self.network].parameters()).sum()


def test_penalties_are_weighted_by_the_sizes_of_micro_batches() -> None:
    options = {"regularizers": {"size": SizeOfReal(weight=3.0, interval=2)}}
    without, whole, split = play(1, 14), play(1, 14, **options), play(3, 14, **options)
    name = next(name for name in gradients(without) if name.startswith("discriminator"))
    images = torch.rand(14, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    added = 2 * 3.0 * images.double().square().mean()  # 2 is the interval, 3.0 the weight
    for system in (whole, split):
        difference = gradients(system)[name] - gradients(without)[name]
        torch.testing.assert_close(difference, added.expand_as(difference), rtol=0, atol=1e-6)
    torch.testing.assert_close(split.logs["discriminator/size"].mean(), whole.logs["discriminator/size"].mean().float())


def test_micro_batches() -> None:
    batch = ImageBatch(torch.arange(7.0).view(7, 1, 1, 1), torch.arange(7))
    assert pieces(batch, 1) == [(batch, 1.0)]
    split = pieces(batch, 3)
    assert [share for _, share in split] == [3 / 7, 2 / 7, 2 / 7]
    assert torch.equal(torch.cat([piece.samples for piece, _ in split]), batch.samples)
    assert [piece.labels.tolist() for piece, _ in split if piece.labels is not None] == [[0, 1, 2], [3, 4], [5, 6]]
    assert [len(piece.samples) for piece, _ in pieces(batch, 100)] == [3, 2, 2]  # at least two samples for BatchNorm
    assert pieces(ImageBatch(batch.images[:1]), 4)[0][1] == 1.0


class Coupled(AdversarialLoss):
    """A loss that compares each sample with the mean of the batch."""

    batch_coupled: ClassVar[bool] = True

    def discriminator(self, real: CriticOutput, fake: CriticOutput) -> Tensor:
        return (real.logits - fake.logits.mean()).mean()

    def generator(self, fake: CriticOutput, real: CriticOutput | None = None) -> Tensor:
        return fake.logits.mean()


class CoupledPenalty(GradientPenalty):
    batch_coupled: ClassVar[bool] = True


def test_parts_that_depend_on_the_whole_batch_are_rejected() -> None:
    with pytest.raises(UserError, match=r"^accumulate: Coupled \(loss\) depends .* into 2 micro-batches; set it to 1$"):
        play(2, 16, Coupled())
    with pytest.raises(
        UserError,
        match=r"^accumulate: CoupledPenalty \(regularizers.similarity\) depends .* into 4 micro-batches; set it to 1$",
    ):
        play(4, 16, regularizers={"similarity": CoupledPenalty()})
    play(1, 16, Coupled())


class Alone:
    """The attributes of a trainer that a game uses, for one process."""

    world_size, global_rank, precision_plugin = 1, 0, None


class Translation(Game):
    """Two maps between paired or unpaired data, updated in one turn."""

    roles: Mapping[str, Sequence[str]] = {"forth": ("forth",), "back": ("back",)}
    takes: ClassVar[tuple[type[Batch], ...]] = (Paired, Unpaired)

    def loss(self, batch: Any) -> Turn:
        x, y = (batch.inputs, batch.targets) if isinstance(batch, Paired) else (batch.a, batch.b)
        forth, back = self.networks["forth"], self.networks["back"]
        there, here = forth(x.flatten(1)), back(y.flatten(1))
        loss = (there - y.flatten(1)).square().mean() + back(there).square().mean() + here.exp().mean()
        return Turn(loss, self.networks, self.random, real=batch.samples, fake=there)


def translation(accumulate: int, penalized: bool) -> Any:
    torch.manual_seed(0)
    nets = {"forth": nn.Linear(4, 12), "back": nn.Linear(12, 4)}
    parts = {"size": SizeOfReal(weight=0.1, player="back", interval=2)} if penalized else {}
    optimizers = {"forth": partial(torch.optim.SGD, lr=0.1), "back": partial(torch.optim.SGD, lr=0.2)}
    game: Any = Translation(nets, optimizers, accumulate=accumulate, regularizers=parts)
    game.trainer = Alone()
    game.configure_optimizers()
    game.on_fit_start()
    return game


@pytest.mark.parametrize("kind", [Paired, Unpaired])
@pytest.mark.parametrize("penalized", [False, True])
@pytest.mark.parametrize(("n", "accumulate"), [(8, 2), (7, 3), (9, 100)])
def test_micro_batches_of_paired_and_unpaired_data_give_the_gradients_of_the_whole_batch(
    kind: Any, penalized: bool, n: int, accumulate: int
) -> None:
    random = torch.Generator().manual_seed(2)
    batch = kind(torch.rand(n, 1, 2, 2, generator=random), torch.rand(n, 3, 2, 2, generator=random))
    whole, split = translation(1, penalized), translation(accumulate, penalized)
    for game in (whole, split):
        game.turn("forth", "back", loss=game.loss, batch=batch)
    assert split.record.share < 1
    for (name, ours), theirs in zip(split.named_parameters(), whole.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6, msg=name)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6, msg=name)
        assert ours.grad.abs().max() > 1e-2
    assert split.logs["forth/loss"].item() == pytest.approx(whole.logs["forth/loss"].item(), rel=1e-5)
    assert ("forth/size" in split.logs) == penalized


class Pairs(nn.Module):
    """A critic of samples beside codes without BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.shape, self.layer = IMAGE, nn.Linear(64 + Z, 1)

    def forward(self, pair: tuple[Tensor, Tensor], condition: None = None) -> CriticOutput:
        joined = torch.cat([pair[0].flatten(1), pair[1]], 1)
        return CriticOutput(self.layer(joined)[:, 0], joined)


class Encoder(nn.Module):
    """A linear encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.shape, self.layer = IMAGE, nn.Linear(64, Z)

    def forward(self, samples: Tensor) -> Tensor:
        return torch.tanh(self.layer(samples.flatten(1)))


class Recognition(nn.Module):
    """Reads InfoGAN's codes of MNIST without BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.layer = 8, nn.Linear(8, 14)

    def forward(self, features: Tensor) -> CodeLogits:
        read = self.layer(features)
        return CodeLogits((read[:, :10],), read[:, 10:12], read[:, 12:])


class OneDraw(InfoGAN):
    """InfoGAN whose turns all begin from the same latents, whatever the pieces: codes are drawn after all noise."""

    def round(self, batch: Any) -> None:
        self.drawn = 0
        super().round(batch)

    def draw_latents(self, n: int) -> Tensor:
        table = self.codes.keyed(0, 0, 8)
        rows = [(self.drawn + i) % 8 for i in range(n)]
        self.drawn += n
        return table[rows]


IMAGE = (1, 8, 8)


def other_game(name: str, accumulate: int) -> Any:
    """Games in which no BatchNorm compares the samples."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"accumulate": accumulate, "optimizers": {}}
    for player in ("autoencoder", "generator", "discriminator", "encoder", "recognition", "decoder"):
        options["optimizers"][player] = partial(torch.optim.SGD, lr=0.1)
    plain: dict[str, nn.Module] = {
        "generator": MLPGenerator(IMAGE, Z, [8], norm="none"),
        "discriminator": MLPDiscriminator(IMAGE, [8]),
    }
    if name == "vae":
        game: Any = VAE({"encoder": VAEEncoder(IMAGE, Z, [8]), "decoder": VAEDecoder(IMAGE, Z, [8])}, Z, **options)
    elif name == "pixelcnn":
        game = Autoregressive({"decoder": PixelCNNDecoder(IMAGE, 4, 1, 4)}, **options)
    elif name == "infogan":
        game = OneDraw({**plain, "recognition": Recognition()}, Z, loss=NonSaturating(), **options)
    elif name == "bigan":
        networks = {"generator": plain["generator"], "encoder": Encoder(), "discriminator": Pairs()}
        game = BiGAN(networks, NonSaturating(), latent_dim=Z, **options)
    else:
        networks = {
            "generator": UNetGenerator(IMAGE, 3, 2, "none", "none"),
            "discriminator": PatchDiscriminator(IMAGE, 3, 1, 2, "none"),
        }
        game = Pix2Pix(networks, NonSaturating(), **options)
    game.trainer = Alone()
    game.configure_optimizers()
    game.on_fit_start()
    return game


@pytest.mark.parametrize("accumulate", [2, 3])
@pytest.mark.parametrize("name", ["vae", "pixelcnn", "infogan", "bigan", "pix2pix"])
def test_pieces_of_other_games_give_the_step_of_the_whole_batch(name: str, accumulate: int) -> None:
    """CycleGAN's are in test_translation.py; the published networks of InfoGAN and BiGAN have BatchNorm."""
    random = torch.Generator().manual_seed(3)
    x, y = (torch.rand(8, channels, 8, 8, generator=random) * 2 - 1 for channels in (1, 3))
    whole, split = other_game(name, 1), other_game(name, accumulate)
    before = {key: value.clone() for key, value in whole.state_dict().items()}
    for game in (whole, split):
        game.round(Paired(y, x) if name == "pix2pix" else ImageBatch(x))
    assert split.record.share < 1
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(split.state_dict()[key], value, rtol=1e-4, atol=1e-6, msg=key)
    for role in whole.networks:
        assert any(not torch.equal(before[key], value) for key, value in whole.state_dict().items() if role in key)
