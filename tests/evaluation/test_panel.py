"""The judges that data and capabilities allow, and the metrics that select them."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from saddlepoint.data import DataModule, Gaussians
from saddlepoint.errors import UserError
from saddlepoint.evaluation.base import Judge, Settings
from saddlepoint.evaluation.labels import CodeJudge
from saddlepoint.evaluation.pairs import TranslationJudge
from saddlepoint.evaluation.panel import assistants, panel
from saddlepoint.evaluation.points import PointJudge
from saddlepoint.evaluation.sets import SetJudge
from saddlepoint.evaluation.sharing import Assistant
from saddlepoint.losses import NonSaturating
from saddlepoint.metrics.features import RandomFeatures
from saddlepoint.networks import InfoGANDiscriminator, InfoGANGenerator, RecognitionHead
from saddlepoint.systems import GAN, InfoGAN, Pix2Pix


def kinds(judges: list[Judge]) -> list[type[Judge]]:
    return [type(judge) for judge in judges]


def test_a_gan_on_images_needs_an_extractor(gan: GAN, digits: DataModule) -> None:
    found = panel(gan, digits, Settings(n=50, metrics=["fid"]), RandomFeatures())
    assert kinds(found.judges) == [SetJudge]
    assert found.monitor == "fid_random"
    assert [card.metric for card in found.score(gan)] == ["fid_random"]
    assert panel(gan, digits, Settings(), None).judges == []
    assert kinds(assistants(gan, digits, RandomFeatures()).judges) == [Assistant]
    assert assistants(gan, digits, None).judges == []


def test_a_metric_can_be_named_by_its_score(gan: GAN, digits: DataModule) -> None:
    found = panel(gan, digits, Settings(n=50, metrics=["kid_random", "fid"]), RandomFeatures())
    assert [card.metric for card in found.score(gan)] == ["kid_random", "fid_random"]


def test_a_gan_on_points(point_gan: GAN) -> None:
    data = DataModule(Gaussians("ring"))
    found = panel(point_gan, data, Settings(), None)
    assert kinds(found.judges) == [PointJudge]
    assert [card.n for card in found.score(point_gan)] == [2500] * 4  # as in PacGAN
    assert kinds(assistants(point_gan, data, None).judges) == [Judge]


def test_a_translation_is_scored_as_pairs_and_as_a_set(pix2pix: Pix2Pix, pairs: Any) -> None:
    settings = Settings(metrics=["l1", "fid"])
    found = panel(pix2pix, pairs, settings, RandomFeatures())
    assert kinds(found.judges) == [TranslationJudge, SetJudge]
    cards = {card.metric: card for card in found.score(pix2pix)}
    assert set(cards) == {"l1", "fid_random"}
    assert (cards["l1"].value, cards["l1"].n) == (0, 270)  # the generator is the true mapping
    assert cards["fid_random"].n == 270  # all held-out inputs
    assert found.monitor == "l1"
    assert kinds(panel(pix2pix, pairs, Settings(metrics=["l1"]), RandomFeatures()).judges) == [TranslationJudge]
    assert kinds(assistants(pix2pix, pairs, RandomFeatures()).judges) == [Assistant, Judge]
    assert kinds(assistants(pix2pix, pairs, RandomFeatures(), ["l1"]).judges) == [Judge]  # as on rank 0


@pytest.mark.parametrize(("categories", "expected"), [((10,), [CodeJudge]), ((), [])])
def test_only_discrete_codes_are_compared_with_labels(digits: DataModule, categories: Any, expected: Any) -> None:
    networks: dict[str, nn.Module] = {
        "generator": InfoGANGenerator((1, 8, 8), 13, width=4, units=8),
        "discriminator": InfoGANDiscriminator((1, 8, 8), width=4, units=8),
        "recognition": RecognitionHead(8, categories, continuous=2, hidden=8),
    }
    optimizers = dict.fromkeys(networks, partial(torch.optim.SGD, lr=0.1))
    system = InfoGAN(networks, 13, categories=categories, loss=NonSaturating(), optimizers=optimizers)
    assert kinds(panel(system, digits, Settings(n=50), None).judges) == expected
    assert kinds(assistants(system, digits, None).judges) == [Judge for _ in expected]


@pytest.mark.parametrize(
    ("metrics", "line"),
    [
        (["psnrr"], "metrics: unknown metric 'psnrr'; did you mean 'psnr'?"),
        (["elbo"], "metrics: none of elbo applies to this model and data; leave it out"),
        (["cas"], "metrics: none of cas applies to this model and data; leave it out"),  # samples have no labels
        (["fid", "elbo", "l1"], "metrics: none of elbo, l1 applies to this model and data; leave it out"),
        (["fid", "class_agreement"], "metrics: none of class_agreement applies to this model and data; leave it out"),
        (["kid", "fid_clip"], "metrics: 'fid_clip' is not computed for this model with these features; use fid"),
        (["fid_random_a_to_b"], "metrics: 'fid_random_a_to_b' is not computed for this model with these features; use"),
    ],
)
def test_metrics_that_do_not_apply_are_refused(gan: GAN, digits: DataModule, metrics: list[str], line: str) -> None:
    with pytest.raises(UserError) as caught:
        panel(gan, digits, Settings(n=50, metrics=metrics), RandomFeatures())
    assert line in str(caught.value)


def test_each_requested_score_is_computed(gan: GAN, digits: DataModule) -> None:
    names = ["fid_infinity", "recall_random", "duplicates_pixels", "support", "sharpness_gap", "spectrum"]
    cards = {card.metric for card in panel(gan, digits, Settings(n=1024, metrics=names), RandomFeatures()).score(gan)}
    asked = {"fid_infinity_random", "recall_random", "duplicates_pixels", "support_random", "sharpness_gap", "spectrum"}
    assert asked <= cards


def test_metrics_of_sets_do_not_apply_to_points(point_gan: GAN) -> None:
    with pytest.raises(UserError, match="metrics: none of fid applies"):
        panel(point_gan, DataModule(Gaussians("ring")), Settings(metrics=["modes", "fid"]), None)


def test_importance_samples_are_of_likelihoods(gan: GAN, digits: DataModule) -> None:
    with pytest.raises(UserError) as caught:
        panel(gan, digits, Settings(n=50, metrics=["fid"], importance=9), RandomFeatures())
    line = "importance: applies only to nll and bits_per_dim of models with a bound on the likelihood; leave it out"
    assert str(caught.value) == line
