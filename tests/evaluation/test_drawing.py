"""Scores of truncated samples and of samples by standing statistics equal those of the same samples by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from saddlepoint.data import DataModule
from saddlepoint.errors import UserError
from saddlepoint.evaluation.base import Panel, Settings
from saddlepoint.evaluation.drawing import RUNNING, Drawing
from saddlepoint.evaluation.likelihood import LikelihoodJudge
from saddlepoint.evaluation.points import PointJudge
from saddlepoint.evaluation.sets import SetJudge, set_judge
from saddlepoint.evaluation.sharing import Generated
from saddlepoint.metrics.features import RandomFeatures
from saddlepoint.metrics.modes import mode_coverage
from saddlepoint.metrics.quantise import quantise
from saddlepoint.systems import GAN, Pix2Pix
from saddlepoint.systems.standing import standing_statistics


def settings(**options: Any) -> Settings:
    return Settings(n=200, metrics=["fid"], **options)


@pytest.mark.parametrize("drawing", [Drawing(0.4), Drawing(batchnorm="standing"), Drawing(0.4, "standing")])
def test_the_card_and_the_value_are_those_of_the_drawing(digits: DataModule, gan: GAN, drawing: Drawing) -> None:
    judge = set_judge(RandomFeatures(), digits, settings(seed=5))
    running = judge.score(gan)[0]
    other = judge.drawn(drawing)
    assert other is not None
    card = other.at(6).score(gan)[0]
    with standing_statistics(gan, 6, drawing.truncation) if drawing.batchnorm == "standing" else torch.no_grad():
        samples = quantise(gan.sample(200, seed=6, truncation=drawing.truncation))
    evaluator = judge.at(6).evaluator
    same = evaluator.score(
        [samples], ema=True, batchnorm="", labels="", images_seen=0, generator_updates=0, revision=""
    )
    assert card.value == pytest.approx(same[0].value, rel=1e-9)
    assert (card.batchnorm, running.batchnorm) == (drawing.batchnorm, "running")
    assert (card.truncation, running.truncation) == (None if drawing.truncation == 1 else 0.4, None)
    assert judge.score(gan)[0].value == running.value


def test_samples_by_index_are_those_that_were_scored(gan: GAN) -> None:
    drawing = Drawing(0.5, "standing")
    whole = quantise(torch.cat(list(drawing.blocks(gan, 150, 3, True))))
    indices = torch.tensor([140, 2, 77])
    assert torch.equal(Generated(drawing).images_at(gan, 3, True)(indices), whole[indices])


def test_scores_that_do_not_depend_on_it_are_left_out(digits: DataModule, gan: GAN, point_gan: GAN) -> None:
    sets = set_judge(RandomFeatures(), digits, settings())
    panel = Panel([LikelihoodJudge(digits, settings(), exact=False), sets]).drawn(Drawing(0.5))
    assert panel is not None
    assert [type(judge) for judge in panel.judges] == [SetJudge]
    assert Panel([LikelihoodJudge(digits, settings(), exact=False)]).drawn(Drawing(0.5)) is None
    means = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    card = PointJudge(means, 0.1, "two", 50).drawn(Drawing(0.5)).at(2).score(point_gan)[0]
    assert card.value == mode_coverage(point_gan.sample(50, seed=2, truncation=0.5), means, 0.1).modes
    assert card.truncation == 0.5


def test_models_that_cannot_be_drawn_from_are_refused(pix2pix: Pix2Pix) -> None:
    RUNNING.check(pix2pix)
    for drawing, key in ((Drawing(0.5), "truncation"), (Drawing(batchnorm="standing"), "batchnorm")):
        with pytest.raises(UserError) as caught:
            drawing.check(pix2pix)
        assert str(caught.value) == f"{key}: this model does not generate samples from noise; leave it out"
