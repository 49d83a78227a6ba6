"""Samples are keyed by (seed, index), independent of n, start and block size, with or without given inputs."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saddlepoint.losses import NonSaturating
from saddlepoint.networks import DCGANDiscriminator, DCGANGenerator
from saddlepoint.systems import GAN, latents
from saddlepoint.systems.capabilities import Draw, Encodes, Generates, HasLikelihood, Translates
from saddlepoint.systems.sampling import Sampling, evaluating

SGD = partial(torch.optim.SGD, lr=0.1)


class Transparent(Sampling):
    """A system whose samples are its inputs: [codes, positions, labels, condition, noise, truncation]."""

    roles = {"generator": ("generator",)}  # noqa: RUF012
    num_classes = 5

    def __init__(self, block: int) -> None:
        super().__init__({"generator": nn.Linear(1, 1)}, {"generator": SGD}, seed=3)
        self.block = block
        self.blocks: list[Draw] = []

    def draw(self, seed: int, start: int, count: int, truncation: float = 1.0) -> Draw:
        positions = torch.arange(start, start + count)
        codes = latents.keyed("normal", 2, seed, start, count)
        labels = self.draw_sample_labels(seed, start, count)
        return Draw({"codes": codes, "positions": positions}, labels, -positions, (positions + 0.5,), truncation)

    def generate(self, draw: Draw, ema: bool) -> Tensor:
        self.blocks.append(draw)
        assert draw.labels is not None
        noise = draw.noise[0] if ema else -draw.noise[0]
        rows = [draw.latents["positions"], draw.labels, draw.condition, noise]
        shown = [*draw.latents["codes"].T, *rows, torch.full_like(noise, draw.truncation)]
        return torch.stack([one.float() for one in shown], 1)


N = 300
PARTS = ("codes", "positions", "labels", "condition", "noise", "truncation")


def split(samples: Tensor) -> dict[str, Tensor]:
    return dict(zip(PARTS, samples.split([2, 1, 1, 1, 1, 1], 1), strict=True))


def table() -> dict[str, Tensor]:
    """Return the first rows of all inputs, from the system's draw()."""
    drawn = Transparent(64).draw(3, 0, N)
    positions = torch.arange(float(N))[:, None]
    return {
        "codes": drawn.latents["codes"],
        "positions": positions,
        "labels": drawn.labels.float()[:, None],  # type: ignore[union-attr]
        "condition": -positions,
        "noise": positions + 0.5,
        "truncation": torch.ones(N, 1),
    }


SPANS = [(0, 1), (0, 64), (0, 65), (61, 9), (64, 64), (70, 130), (199, 1)]
BLOCKS = [1, 2, 16, 64, 100]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(("start", "n"), SPANS)
def test_rows_do_not_depend_on_start_n_or_block(start: int, n: int, block: int) -> None:
    system = Transparent(block)
    samples = split(system.sample(n, start=start))
    for part, expected in table().items():
        assert torch.equal(samples[part], expected[start : start + n]), part
    assert all(len(draw.labels) == block for draw in system.blocks)  # type: ignore[arg-type]
    first, last = start // block, (start + n - 1) // block
    assert len(system.blocks) == last - first + 1


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(("start", "n"), SPANS)
@pytest.mark.parametrize(
    "given", [("labels",), ("condition",), ("latents",), ("labels", "latents", "condition")], ids=str
)
def test_given_inputs_replace_only_the_keyed_ones(start: int, n: int, block: int, given: tuple[str, ...]) -> None:
    random = torch.Generator().manual_seed(1)
    options: dict[str, Any] = {
        "labels": torch.randint(5, (n,), generator=random),
        "condition": torch.rand(n, generator=random),
        "latents": {"codes": torch.rand(n, 2, generator=random), "positions": torch.rand(n, generator=random)},
    }
    expected = {part: rows[start : start + n] for part, rows in table().items()}
    if "labels" in given:
        expected["labels"] = options["labels"].float()[:, None]
    if "condition" in given:
        expected["condition"] = options["condition"][:, None]
    if "latents" in given:
        expected |= {"codes": options["latents"]["codes"], "positions": options["latents"]["positions"][:, None]}
    before = {key: value.clone() for key, value in options.items() if isinstance(value, Tensor)}
    system = Transparent(block)
    samples = split(system.sample(n, start=start, **{key: options[key] for key in given}))
    for part, rows in expected.items():
        assert torch.equal(samples[part], rows), part
    assert all(len(draw.labels) == block for draw in system.blocks)  # type: ignore[arg-type]
    assert all(torch.equal(options[key], value) for key, value in before.items())


@pytest.mark.parametrize("given", [False, True])
def test_a_block_of_one_generates_one_row_at_a_time(given: bool) -> None:
    system = Transparent(1)
    yielded = list(system.sample_blocks(4, condition=torch.arange(4.0) if given else None, start=9))
    assert [len(rows) for rows in yielded] == [1, 1, 1, 1]
    assert [draw.latents["positions"].tolist() for draw in system.blocks] == [[9], [10], [11], [12]]


def test_blocks_are_padded_with_copies_of_the_first_given_row() -> None:
    system = Transparent(8)
    system.sample(3, condition=torch.tensor([7.0, 8.0, 9.0]), start=10)
    (draw,) = system.blocks
    assert draw.condition.tolist() == [7, 7, 7, 8, 9, 7, 7, 7]
    assert draw.latents["positions"].tolist() == list(range(8, 16))


def test_seed_truncation_and_ema_are_passed_on() -> None:
    system = Transparent(16)
    samples = split(system.sample(20, seed=4, truncation=0.5, ema=False))
    assert torch.equal(samples["codes"], latents.keyed("normal", 2, 4, 0, 20))
    assert (samples["truncation"] == 0.5).all()
    assert torch.equal(samples["noise"], -table()["noise"][:20])


def test_rows_of_classes_share_a_tree_of_latents() -> None:
    samples = split(Transparent(16).sample_classes([2, 0, 4], 7, seed=3, truncation=0.5))
    assert (samples["truncation"] == 0.5).all()
    assert torch.equal(samples["noise"], table()["noise"][:21])
    assert torch.equal(samples["codes"], table()["codes"][:7].repeat(3, 1))
    assert samples["labels"].flatten().tolist() == [2.0] * 7 + [0.0] * 7 + [4.0] * 7


def test_draw() -> None:
    rows = torch.arange(4)
    draw = Draw((rows, {"more": rows[:, None] + 10}), None, rows + 20, None, 0.7)
    some = draw.rows(slice(1, 3))
    assert some.latents[0].tolist() == [1, 2]
    assert some.latents[1]["more"].tolist() == [[11], [12]]
    assert (some.labels, some.noise, some.truncation) == (None, None, 0.7)
    padded = some.padded(2, 5)
    assert padded.condition.tolist() == [21, 21, 21, 22, 21]
    assert padded.latents[1]["more"].flatten().tolist() == [11, 11, 11, 12, 11]
    assert draw.padded(0, 4).condition is draw.condition
    moved = draw.to(torch.device("meta"))
    assert moved.latents[0].is_meta
    assert moved.latents[1]["more"].is_meta
    assert moved.condition.is_meta
    assert moved.truncation == 0.7


def gan(ema_decay: float | None, classes: int = 0) -> GAN:
    torch.manual_seed(0)
    told: dict[str, Any] = {"conditioning": "concat", "num_classes": classes} if classes else {}
    networks = {
        "generator": DCGANGenerator((1, 8, 8), 6, 4, **told),
        "discriminator": DCGANDiscriminator((1, 8, 8), 4, **told),
    }
    optimizers = {"generator": SGD, "discriminator": SGD}
    return GAN(networks, NonSaturating(), latent_dim=6, optimizers=optimizers, ema_decay=ema_decay)


@pytest.mark.parametrize("classes", [0, 3])
def test_a_gan_exports_the_network_that_it_samples_from(classes: int) -> None:
    system = gan(0.9, classes)
    with torch.no_grad():
        for parameter in system.generator.parameters():
            parameter += 0.1  # now the average differs
    drawn = system.draw(7, 0, 64)
    inputs = {"latents": drawn.latents} | ({"labels": drawn.labels} if classes else {})
    for ema in (True, False):
        export = system.exports(ema)["generator"]
        assert export.averaged == ema
        assert (export.role, export.outputs) == ("generator", ("images",))
        assert export.inputs.keys() == inputs.keys()
        assert {len(example) for example in export.inputs.values()} == {2}
        export.network(*export.inputs.values())
        with evaluating(export.network), torch.no_grad():
            assert torch.equal(export.network(*inputs.values()), system.sample(64, seed=7, ema=ema))
    assert not torch.equal(system.sample(2, ema=True), system.sample(2, ema=False))


def test_without_ema_the_network_itself_is_exported() -> None:
    system = gan(None)
    assert dict(system.averages) == {}
    assert system.network("generator") is system.network("generator", ema=False) is system.generator
    assert not system.exports()["generator"].averaged
    assert torch.equal(system.sample(3, ema=True), system.sample(3, ema=False))


def test_pictures_are_samples_or_rows_of_classes() -> None:
    (name, picture), *rest = gan(0.9).pictures(10, 5, None).items()
    assert (name, picture.columns, rest) == ("samples", None, [])
    assert torch.equal(picture.samples, gan(0.9).sample(10, seed=5))
    picture = gan(0.9, classes=3).pictures(10, 5, None)["samples"]
    assert picture.columns == 3
    assert torch.equal(picture.samples, gan(0.9, classes=3).sample_classes(range(3), 3, seed=5))


def test_evaluating_restores_the_mode() -> None:
    inner, outer = nn.Linear(1, 1).train(), nn.Linear(1, 1).eval()

    def enter_and_fail() -> None:
        with evaluating(inner, outer):
            assert not inner.training
            assert not outer.training
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        enter_and_fail()
    assert inner.training
    assert not outer.training


def test_capabilities_are_determined_by_methods() -> None:
    assert isinstance(gan(0.9), Generates)
    assert isinstance(Transparent(4), Generates)
    assert not any(isinstance(gan(0.9), other) for other in (Encodes, Translates, HasLikelihood))
