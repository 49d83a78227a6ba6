"""The panel of several judges, batches of held-out samples, and cards of means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from PIL import Image

from saddlepoint.data import DataModule
from saddlepoint.evaluation.base import HeldOutJudge, Judge, Panel, Settings, circumstances
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.systems import GAN
from saddlepoint.systems.game import Game


class Brightness(HeldOutJudge):
    """Scores the mean of held-out images, and has a picture and a state."""

    monitor = "brightness"

    def score(self, system: Game) -> list[ScoreCard]:
        values = torch.cat([batch.samples.flatten(1).mean(1) for batch in self.batches()])
        return [self.card(system, "brightness", values, 1.5, labels="none")]

    def pictures(self, system: Game, cards: Sequence[ScoreCard]) -> Mapping[str, Image.Image]:
        return {"gray": Image.new("L", (1, 1))}

    def state(self) -> dict[str, Any]:
        return {"n": self.n}


def test_a_panel_combines_its_judges(digits: DataModule, gan: GAN) -> None:
    panel = Panel([Judge(), Brightness(digits, Settings(n=10)), Brightness(digits, Settings(n=20))])
    assert [card.n for card in panel.score(gan)] == [10, 20]
    assert panel.monitor == "brightness"
    assert panel.state() == {"n": 10}
    assert list(panel.pictures(gan, [])) == ["gray"]
    assert [card.seed for card in panel.at(7).score(gan)] == [7, 7]
    assert [card.seed for card in panel.score(gan)] == [0, 0]
    empty = Panel([Judge()])
    assert (empty.score(gan), empty.monitor, empty.state()) == ([], None, None)


def test_batches_are_the_first_rows_in_order(digits: DataModule) -> None:
    judge = Brightness(digits, Settings(n=300))
    batches = list(judge.batches())
    assert [len(batch) for batch in batches] == [250, 50]
    everything = digits.batch("held_out", 0, 325)
    assert torch.equal(torch.cat([batch.samples for batch in batches]), everything.samples[:300])
    assert sum(len(batch) for batch in judge.batches("train", 620)) == 620
    assert Brightness(digits, Settings()).n == Brightness(digits, Settings(n=1000)).n == 325


def test_a_card_has_the_mean_and_its_standard_error(digits: DataModule, gan: GAN) -> None:
    card = Brightness(digits, Settings()).score(gan)[0]
    means = digits.batch("held_out", 0, 325).samples.double().mean((1, 2, 3))
    error = means.std(correction=0).item() / 325**0.5
    assert card.value == pytest.approx(means.mean().item(), abs=1e-6)
    assert card.interval == pytest.approx((card.value - error, card.value + error), abs=1e-6)
    assert card.reference == f"digits/held_out:325@{digits.info.fingerprint[:8]}"
    assert (card.seconds, card.labels, card.features) == (1.5, "none", "none")


def test_circumstances_describe_the_system(gan: GAN, point_gan: GAN) -> None:
    gan.progress.images_seen, gan.progress.generator_updates = 64, 2
    found = circumstances(gan, ema=True)
    assert (found["ema"], found["batchnorm"], found["labels"]) == (True, "running", "none")
    assert (found["images_seen"], found["generator_updates"]) == (64, 2)
    assert circumstances(gan, ema=False)["ema"] is False
    plain = circumstances(point_gan, ema=True)  # it has neither averages nor BatchNorm
    assert (plain["ema"], plain["batchnorm"]) == (False, "none")
