"""One of the two processes of ``test_ranks.py``: ``ranks_program.py RANK FOLDER`` writes its results to a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from saddlepoint import ranks, trees
from saddlepoint.losses import (
    BEGAN,
    MMD,
    AdversarialLoss,
    LeastSquares,
    NonSaturating,
    RelativisticAverage,
    Wasserstein,
)
from saddlepoint.networks import (
    AAEDecoder,
    AAEEncoder,
    BiGANEncoder,
    BiGANGenerator,
    CategoryDiscriminator,
    CodeDiscriminator,
    GANsformerGenerator,
    GRANDiscriminator,
    GRANGenerator,
    InfoGANDiscriminator,
    InfoGANGenerator,
    LAPGANDiscriminator,
    LAPGANGenerator,
    MLPDiscriminator,
    MLPGenerator,
    PairDiscriminator,
    PatchDiscriminator,
    PixelCNNDecoder,
    ProGANDiscriminator,
    ProGANGenerator,
    RecognitionHead,
    StyleGAN2Discriminator,
    StyleGAN2Generator,
    TransGANDiscriminator,
    TransGANGenerator,
    TranslationGenerator,
    UNetGenerator,
    VAEDecoder,
    VAEEncoder,
    VAEGANDecoder,
    VAEGANDiscriminator,
    VAEGANEncoder,
    ViTGANDiscriminator,
    ViTGANGenerator,
)
from saddlepoint.regularizers import ModeSeeking
from saddlepoint.systems import (
    AAE,
    GAN,
    GRAN,
    LAPGAN,
    VAE,
    VAEGAN,
    Autoregressive,
    BiGAN,
    CycleGAN,
    GANsformer,
    InfoGAN,
    Pix2Pix,
    ProGAN,
    StyleGAN2,
)
from saddlepoint.systems.game import Game
from saddlepoint.systems.stepping import Stepper, average_over_ranks
from saddlepoint.turns import Bound, Turn
from saddlepoint.types import Batch, CriticOutput, ImageBatch, Paired, Unpaired

SHARES = (slice(0, 7), slice(7, 12))
"""The samples of each rank, out of twelve."""
LOSSES: dict[str, partial[AdversarialLoss]] = {
    "ragan bce": partial(RelativisticAverage, "bce"),
    "ragan hinge": partial(RelativisticAverage, "hinge"),
    "mmd rational_quadratic": partial(MMD, "rational_quadratic"),
    "mmd distance": partial(MMD, "distance"),
}


def play(make_loss: partial[AdversarialLoss], share: slice) -> dict[str, Any]:
    """Return each player's loss and the gradients of all weights, averaged over ranks, on this rank's samples."""
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {
        "generator": MLPGenerator((2,), 3, [8], norm="none"),
        "discriminator": MLPDiscriminator((2,), [8]),
    }
    real, latents = torch.randn(12, 2)[share], torch.randn(12, 3)[share]
    sgd = partial(torch.optim.SGD, lr=0.1)
    system = GAN(networks, make_loss(), latent_dim=3, optimizers={"generator": sgd, "discriminator": sgd})
    found = {}
    for player in ("discriminator", "generator"):
        system.zero_grad()
        real_output, fake_output = system.judge(real, networks["generator"](latents), None)
        outputs = {"real": system.of_all_ranks(real_output), "fake": system.of_all_ranks(fake_output)}
        loss: Tensor = getattr(system.loss, player)(**outputs)
        loss.backward()
        parameters = [*networks["generator"].parameters(), *networks["discriminator"].parameters()]
        value = loss.detach()
        if ranks.world_size() > 1:
            value, _ = average_over_ranks(parameters, [], value, ranks.world_size())
        gradient = torch.cat(
            [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in parameters]
        )
        found[player] = {"loss": value.item(), "gradient": gradient.tolist()}
    return found


def gather(rank: int) -> dict[str, Any]:
    """Return the gathered rows, three of rank 0 and one of rank 1, and the gradient of a weighted sum."""
    rows = (torch.arange(12.0).reshape(3, 2, 2) if rank == 0 else torch.full((1, 2, 2), 50.0)).requires_grad_()
    gathered = ranks.gather(rows)
    (gathered * torch.arange(1.0, 5.0)[:, None, None]).sum().backward()
    assert rows.grad is not None
    return {"rows": gathered.tolist(), "gradient": rows.grad.tolist()}


class Cycle(Game):
    """Two maps between domains, updated in one turn, and a third network that the loss depends on."""

    roles: Mapping[str, Sequence[str]] = {"there": ("there",), "back": ("back",), "other": ("other",)}

    def loss(self, batch: Any) -> Turn:
        """Return a turn whose loss is a mean over samples."""
        there, back = self.networks["there"], self.networks["back"]
        loss = (back(there(batch.a)) - batch.a).square().mean() + self.networks["other"](back(batch.b)).square().mean()
        self.seen = len(batch)
        return Turn(loss, self.networks, self.random)


class OnRank:
    """The attributes of a trainer that a game uses."""

    precision_plugin = None

    def __init__(self, rank: int, world_size: int) -> None:
        self.global_rank, self.world_size = rank, world_size


def cycle(rank: int, world_size: int) -> dict[str, Any]:
    """Return the state after a turn of two players with gradient clipping, on a part of eight rows of each domain.

    A running statistic is 1 on rank 0 and 2 on rank 1.
    """
    torch.manual_seed(0)
    maps: dict[str, nn.Module] = {role: nn.Linear(3, 3) for role in ("there", "back", "other")}
    maps["back"].register_buffer("statistic", torch.tensor(1.5 if world_size == 1 else 1.0 + rank))
    batch = trees.split(Unpaired(torch.randn(8, 3), torch.randn(8, 3)), world_size)[rank]
    optimizers = {role: partial(torch.optim.SGD, lr=0.1) for role in maps}
    game = Cycle(maps, optimizers, gradient_clip=0.05)
    game.trainer = OnRank(rank, world_size)  # type: ignore[assignment]
    game.configure_optimizers()
    game.on_fit_start()
    game.turn("there", "back", loss=game.loss, batch=batch)
    return {
        "weights": {name: value.flatten().tolist() for name, value in game.state_dict().items()},
        "norms": [game.logs[f"{name}/weight_gradient_norm"].item() for name in ("there", "back")],
        "seen": game.seen,
    }


def pix2pix(norm: Any, noise: Any, options: Mapping[str, Any]) -> Game:
    """Return Pix2Pix from three channels to one."""
    networks: dict[str, nn.Module] = {
        "generator": UNetGenerator((1, 8, 8), 3, 2, norm, noise),
        "discriminator": PatchDiscriminator((1, 8, 8), 3, 1, 2, norm),
    }
    return Pix2Pix(networks, NonSaturating(), **options)


def other_games(options: Mapping[str, Any]) -> dict[str, tuple[Game, type[Batch]]]:
    """Return small games of all kinds, with the batches that they take."""
    x, y = (1, 8, 8), (3, 8, 8)
    infogan: dict[str, nn.Module] = {
        "generator": InfoGANGenerator(x, 14, 2, 4),
        "discriminator": InfoGANDiscriminator(x, 2, 4),
        "recognition": RecognitionHead(4, hidden=4),
    }
    bigan: dict[str, nn.Module] = {
        "generator": BiGANGenerator(x, 3, 4),
        "encoder": BiGANEncoder(x, 3, 4),
        "discriminator": PairDiscriminator(x, 3, 4),
    }
    semi: Any = ("semi", 3)
    aae: dict[str, nn.Module] = {
        "encoder": AAEEncoder(x, 3, 4, *semi),
        "decoder": AAEDecoder(x, 3, 4, *semi),
        "discriminator": CodeDiscriminator(3, 4),
        "category_discriminator": CategoryDiscriminator(4, *semi),
    }
    vaegan: dict[str, nn.Module] = {
        "encoder": VAEGANEncoder(x, 3, 2, 4),
        "decoder": VAEGANDecoder(x, 3, 2),
        "discriminator": VAEGANDiscriminator(x, 2, 4),
    }
    lapgan: dict[str, nn.Module] = {
        "generator": LAPGANGenerator(x, 2, 3, 2, 4),
        "discriminator": LAPGANDiscriminator(x, 2, 2, 4),
    }
    gran: dict[str, nn.Module] = {
        "generator": GRANGenerator(x, 3, 2, 2, 4),
        "discriminator": GRANDiscriminator(x, 2, 4),
    }
    progan: dict[str, nn.Module] = {
        "generator": ProGANGenerator(x, 3, 4),
        "discriminator": ProGANDiscriminator(x, 4),
    }
    stylegan2: dict[str, nn.Module] = {
        "generator": StyleGAN2Generator(x, 3, 4, 4, mapping_layers=2),
        "discriminator": StyleGAN2Discriminator(x, 4),
    }
    transgan: dict[str, nn.Module] = {
        "generator": TransGANGenerator(x, 3, 4, [1], 1),
        "discriminator": TransGANDiscriminator(x, 4, 1, 1),
    }
    vitgan: dict[str, nn.Module] = {
        "generator": ViTGANGenerator(x, 3, 4, 1, 2, 2),
        "discriminator": ViTGANDiscriminator(x, 4, 1, 2),
    }
    gansformer: dict[str, nn.Module] = {
        "generator": GANsformerGenerator(x, 6, 2, 4, 16, 2),
        "discriminator": StyleGAN2Discriminator(x, 4, 16),
    }
    torch.manual_seed(1)  # weights that do not depend on the networks above
    cyclegan: dict[str, nn.Module] = {
        "generator_ab": TranslationGenerator(x, 3, 2, 1),
        "generator_ba": TranslationGenerator(y, 1, 2, 1),
        "discriminator_a": PatchDiscriminator(y, 0, 1, 2, "instance"),
        "discriminator_b": PatchDiscriminator(x, 0, 1, 2, "instance"),
    }
    return {
        "vae": (VAE({"encoder": VAEEncoder(x, 3, [4]), "decoder": VAEDecoder(x, 3, [4])}, 3, **options), ImageBatch),
        "pixelcnn": (Autoregressive({"decoder": PixelCNNDecoder(x, 4, 1, 4)}, **options), ImageBatch),
        "infogan": (InfoGAN(infogan, 14, loss=NonSaturating(), **options), ImageBatch),
        "bigan": (BiGAN(bigan, NonSaturating(), latent_dim=3, prior="uniform", **options), ImageBatch),
        "aae": (AAE(aae, NonSaturating(), latent_dim=3, labels="semi", noise=0.3, **options), ImageBatch),
        "vaegan": (VAEGAN(vaegan, NonSaturating(), 3, **options), ImageBatch),
        "lapgan": (LAPGAN(lapgan, NonSaturating(), training="together", **options), ImageBatch),
        "gran": (GRAN(gran, loss=NonSaturating(), latent_dim=3, **options), ImageBatch),
        "progan": (ProGAN(progan, 8, 8, loss=Wasserstein(), latent_dim=3, **options), ImageBatch),
        "stylegan2": (StyleGAN2(stylegan2, loss=NonSaturating(), latent_dim=3, **options), ImageBatch),
        "transgan": (GAN(transgan, NonSaturating(), latent_dim=3, **options), ImageBatch),
        "vitgan": (GAN(vitgan, NonSaturating(), latent_dim=3, **options), ImageBatch),
        "gansformer": (GANsformer(gansformer, loss=NonSaturating(), latent_dim=6, **options), ImageBatch),
        "pix2pix": (pix2pix("batch", "dropout", options), Paired),
        "pix2pix without noise": (pix2pix("instance", "none", options), Paired),
        "cyclegan": (CycleGAN(cyclegan, LeastSquares(), pool_size=6, **options), Unpaired),
    }


def play_other_games(rank: int, world_size: int) -> dict[str, dict[str, list[float]]]:
    """Return the weights, averages, statistics and pools of games after three rounds on shares of eight samples."""
    torch.manual_seed(0)
    roles = ("autoencoder", "generator", "discriminator", "encoder", "decoder", "classifier", "recognition")
    roles += ("generator_ab", "generator_ba", "discriminator_a", "discriminator_b")
    options = {"optimizers": dict.fromkeys(roles, partial(torch.optim.SGD, lr=0.01)), "ema_decay": 0.5}
    found = {}
    for name, (game, kind) in other_games(options).items():
        exact = name in ("pix2pix without noise", "cyclegan")  # instance norm of few pixels magnifies rounding
        game.to(torch.float64 if exact else torch.float32)
        game.trainer = OnRank(rank, world_size)  # type: ignore[assignment]
        game.configure_optimizers()
        game.on_fit_start()
        random = torch.Generator().manual_seed(1)
        for _ in range(3):
            x, y = (torch.rand(8, channels, 8, 8, generator=random) * 2 - 1 for channels in (1, 3))
            x, y = (x.double(), y.double()) if exact else (x, y)
            batch = kind(x, torch.arange(8) % 3) if kind is ImageBatch else kind(y, x)
            game.round(trees.split(batch, world_size)[rank])
        found[name] = {key: value.double().flatten().tolist() for key, value in game.state_dict().items()}
    return found


def structures(rank: int) -> dict[str, Any]:
    """Return a critic's output gathered from two and three rows."""
    n = 2 + rank
    output = CriticOutput(torch.arange(n) + 10.0 * rank, torch.full((n, 2), float(rank)))
    whole = trees.map_tree(ranks.gather, output)
    _, place = ranks.gather_with_place(output.logits)
    return {
        "logits": whole.logits.tolist(),
        "features": whole.features.tolist(),
        "none": whole.class_logits,
        "own": whole.logits[place].tolist() == output.logits.tolist(),
    }


def began(rank: int) -> list[float]:
    """Return BEGAN's state after a round in which the ranks have different energies."""
    loss = BEGAN(gamma=0.5, rate=0.1)
    for player, name, energy in (("discriminator", "real", 4.0 + 2 * rank), ("generator", "fake", 1.0 + rank)):
        output = CriticOutput(torch.full((3,), energy), torch.zeros(3, 1))
        loss.observe(Turn(torch.zeros(()), {}, torch.Generator(), players=(player,), outputs={name: output}))
    return [loss.k.item(), loss.real_energy.item()]


def clock(rank: int) -> list[float | bool | None]:
    """Return the time and the stop request that the ranks agree on, after a step in which their own differ."""
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.full((2,), 1.0 + rank)
    stepper = Stepper(world_size=2, rank=rank)
    stepper.clock = lambda: 5.25 + 100 * rank
    stepper.stop_requested = rank == 1
    stepper.step("generator", [torch.optim.SGD([weight], lr=1.0)], [[weight]], torch.tensor(0.0), [None])
    return [stepper.seconds, stepper.stop_agreed, weight.tolist()[0]]


def mode_ratio(rank: int) -> tuple[float, float]:
    """Return the mode-seeking penalty and its ratio if the ranks have three samples and one."""
    latents = torch.arange(8.0).view(4, 2).square()[:3] if rank == 0 else torch.ones(1, 2)
    fake = latents.sin()
    record = Turn(torch.zeros(()), {}, torch.Generator(), fake=fake, latents=latents, generate=Bound(nn.Identity()))
    return ModeSeeking().penalty(record).item(), record.logs["mode_ratio"].item()


def main(rank: int, folder: Path) -> None:
    """Write the results on one rank and on two ranks."""
    torch.set_num_threads(1)
    found: dict[str, Any] = {"alone": {name: play(loss, slice(None)) for name, loss in LOSSES.items()}}
    found["cycle alone"], found["games alone"] = cycle(0, 1), play_other_games(0, 1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    found["together"] = {name: play(loss, SHARES[rank]) for name, loss in LOSSES.items()}
    found["gather"] = gather(rank)
    found["mean"] = [value.hex() for value in ranks.mean(torch.tensor([1 / 3, 0.1]) * (1 + 3 * rank)).tolist()]
    found["began"] = began(rank)
    found["clock"] = clock(rank)
    found["mode ratio"] = mode_ratio(rank)
    found["cycle"], found["games"] = cycle(rank, 2), play_other_games(rank, 2)
    found["structures"] = structures(rank)
    (folder / f"{rank}.json").write_text(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
