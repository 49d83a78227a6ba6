"""Evaluation in one pass: the extractor is applied once to each image, and every figure gets a card."""

import dataclasses

import pytest
import torch

from saddlepoint.errors import UserError
from saddlepoint.metrics import directions
from saddlepoint.metrics.directions import lower_is_better, register_score
from saddlepoint.metrics.evaluation import Evaluator, evaluate_vectors
from saddlepoint.metrics.features import RandomFeatures
from saddlepoint.metrics.frechet import Gaussian, frechet_distance, real_root
from saddlepoint.metrics.inception_score import inception_score
from saddlepoint.metrics.real import RealStatistics

AT = {
    "ema": True, "batchnorm": "running", "labels": "none", "images_seen": 640, "generator_updates": 9, "revision": "a",
}  # fmt: skip


def test_one_call_per_batch_and_complete_cards(digits, grid, tmp_path) -> None:
    reference = RealStatistics.compute(digits, grid, tmp_path, n=300)
    images = digits.splits["held_out"][0]
    grid.calls.clear()
    evaluator = Evaluator(grid, reference, n=300, seed=7)
    cards = evaluator.score(images.split(128), **AT)
    assert grid.calls == [128, 128, 44]
    names = ["fid_grid", "is_grid", "kid_grid", "precision_grid", "recall_grid", "density_grid", "coverage_grid"]
    names += ["nearest_train_grid", "memorised_grid", "duplicates_grid"]
    assert [card.metric for card in cards][:10] == names
    assert len({card.metric for card in cards}) == len(cards)
    for card in cards:
        assert {name: getattr(card, name) for name in AT} == AT
        assert (card.n, card.seed, card.reference) == (300, 7, reference.reference)
        assert card.seconds > 0
        assert (card.real, card.real_n) == reference.held_out[card.metric]
        assert all(getattr(card, field.name) is not None for field in dataclasses.fields(card)[:2])
    assert (cards[0].features, cards[0].features_version, cards[0].resize) == ("grid", "1", "none")
    pixels = next(card for card in cards if card.metric == "duplicates_pixels")
    assert (pixels.features, pixels.resize) == ("pixels", "mean-to-32")
    assert evaluator.monitor == "fid_grid"
    assert evaluator.details["duplicates_pixels"]["pairs"].shape == (20, 2)


def test_values_equal_the_plain_functions(digits, grid, tmp_path) -> None:
    reference = RealStatistics.compute(digits, grid, tmp_path, n=360)
    images = digits.splits["held_out"][0]
    cards = {card.metric: card for card in Evaluator(grid, reference, n=360, splits=1).score(images.split(50), **AT)}
    fake, real = grid(images).pool.double(), grid(digits.splits["train"][0]).pool.double()
    expected = frechet_distance(Gaussian(real.mean(0), real_root(real.T.cov())), fake.mean(0), fake.T.cov())
    assert cards["fid_grid"].value == pytest.approx(expected, rel=1e-8)
    assert cards["is_grid"].value == pytest.approx(inception_score(fake, splits=1)[0], rel=1e-6)


def test_batches_do_not_change_scores(digits, grid, tmp_path) -> None:
    evaluator = Evaluator(grid, RealStatistics.compute(digits, grid, tmp_path, n=300), n=300)
    images = digits.splits["held_out"][0]
    one, many = evaluator.score([images], **AT), evaluator.score(images.split(7), **AT)
    for a, b in zip(one, many, strict=True):
        assert a.value == pytest.approx(b.value, rel=1e-6, abs=1e-9)


def test_with_more_samples_than_real_images_only_as_many_are_compared(digits, grid, tmp_path) -> None:
    """With the threshold for 200 images, a tenth of 1,000 real images would count as copies."""
    reference = RealStatistics.compute(digits, grid, tmp_path, n=1000, reference_n=200)
    images = digits.splits["train"][0][:1000]
    evaluator = Evaluator(grid, reference, n=1000)
    cards = {card.metric: card for card in evaluator.score(images.split(128), **AT)}
    compared = ["precision", "recall", "density", "coverage", "duplicates", "support"]
    assert {card.n for name, card in cards.items() if name.split("_")[0] in compared} == {200}
    assert {cards[name].n for name in ("fid_grid", "is_grid", "nearest_train_grid")} == {1000}
    details = evaluator.details["duplicates_pixels"]
    first, second = (images[details["pairs"][:, i]].flatten(1).double() for i in (0, 1))
    torch.testing.assert_close((first - second).norm(dim=1), details["distances"].double())


def test_the_monitor_without_fid_is_the_first_metric(digits, grid, tmp_path) -> None:
    reference = RealStatistics.compute(digits, grid, tmp_path, n=300, metrics=("kid", "is", "fid"))
    assert Evaluator(grid, reference, ["kid", "is"], n=300).monitor == "kid_grid"
    assert Evaluator(grid, reference, ["kid", "fid"], n=300).monitor == "fid_grid"


def test_real_images_are_near_and_noise_is_far(digits, tmp_path) -> None:
    extractor = RandomFeatures()
    reference = RealStatistics.compute(digits, extractor, tmp_path, n=360)
    evaluator = Evaluator(extractor, reference, n=360)
    noise = torch.randint(0, 256, (360, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    near = {card.metric: card.value for card in evaluator.score([digits.splits["held_out"][0]], **AT)}
    far = {card.metric: card.value for card in evaluator.score([noise], **AT)}
    for score in ("fid_random", "kid_random"):
        assert abs(near[score]) < 0.01 * far[score]
    assert "is_random" not in near
    # The held-out split has 360 images, so ``real`` for n = 360 is their score.
    assert near["fid_random"] == pytest.approx(reference.held_out["fid_random"][0], rel=1e-6)


def test_no_more_images_are_drawn_than_needed(digits, grid, tmp_path) -> None:
    reference = RealStatistics.compute(digits, grid, tmp_path, n=100)
    drawn = []

    def batches():
        for batch in digits.splits["train"][0].split(64):
            drawn.append(len(batch))
            yield batch

    Evaluator(grid, reference, n=100).score(batches(), **AT)
    assert drawn == [64, 64]
    with pytest.raises(ValueError, match="needs 100 images, got 64"):
        Evaluator(grid, reference, n=100).score([digits.splits["train"][0][:64]], **AT)


def test_mistakes_are_named(digits, grid, tmp_path) -> None:
    reference = RealStatistics.compute(digits, grid, tmp_path, n=100, metrics=("fid",))
    ours, theirs = f"features random {RandomFeatures().version}", "real statistics of features grid 1"
    wrong = {
        "metrics: unknown metric 'fidd'; did you mean 'fid'?": lambda: Evaluator(grid, reference, ("fidd",)),
        "metrics: no real statistics for metric 'kid', only for fid; evaluate against the data set to compute them": (
            lambda: Evaluator(grid, reference, ("kid",))
        ),
        f"reference: {ours} cannot be compared with {theirs}; compute the real statistics with the same features": (
            lambda: Evaluator(RandomFeatures(), reference)
        ),
        "n: must be at least 2, got 1": lambda: Evaluator(grid, reference, ("fid",), n=1),
        "n: must be at least 2, got 0": lambda: RealStatistics.compute(digits, grid, tmp_path, n=0),
    }
    for expected, call in wrong.items():
        with pytest.raises(UserError) as caught:
            call()
        assert str(caught.value) == expected


def test_points_have_cards() -> None:
    means = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    cards = evaluate_vectors(means[[0, 0, 0]], means, 0.01, "two/uniform", 3, **AT)
    assert [(card.metric, card.value) for card in cards] == [
        ("modes", 1),
        ("high_quality", 1),
        ("reverse_kl", pytest.approx(0.693147, abs=1e-6)),
        ("mixture_kl", pytest.approx(0.704318, abs=1e-5)),  # log(2 / 0.98889)
    ]
    assert cards[1].real == pytest.approx(0.9889, abs=1e-4)
    assert {card.seed for card in cards} == {3}


def test_directions_of_scores() -> None:
    ups = ["is", "is_classifier", "modes", "high_quality"]
    downs = [
        "fid",
        "fid_random",
        "kid",
        "kid_classifier",
        "duplicates_pixels",
        "reverse_kl",
        "mixture_kl",
        "class_kl_classifier",
    ]
    assert [lower_is_better(score) for score in ups + downs] == [False] * len(ups) + [True] * len(downs)
    with pytest.raises(UserError) as caught:
        lower_is_better("fidelity")
    assert caught.value.problem == "unknown score 'fidelity'"


def test_directions_of_scores_of_pairs_likelihoods_and_codes() -> None:
    ups = ["psnr", "ssim", "ms_ssim", "elbo", "code_accuracy", "nearest_neighbour_accuracy"]
    downs = ["l1", "lpips", "features", "nll", "bits_per_dim"]
    for suffix in ("", "_a_to_b"):
        for prefix in ("", "reconstruction_"):
            assert {lower_is_better(f"{prefix}{score}{suffix}") for score in ups} == {False}
            assert {lower_is_better(f"{prefix}{score}{suffix}") for score in downs} == {True}
    with pytest.raises(UserError):
        lower_is_better("reconstruction_")


def test_a_score_can_be_registered(monkeypatch) -> None:
    monkeypatch.setattr(directions, "LOWER_IS_BETTER", dict(directions.LOWER_IS_BETTER))
    with pytest.raises(UserError):
        lower_is_better("angle_a_to_b")
    register_score("angle", lower_is_better=True)
    register_score("angle", lower_is_better=True)
    assert lower_is_better("angle_a_to_b")
    with pytest.raises(ValueError, match="'angle' is already registered with lower_is_better=True"):
        register_score("angle", lower_is_better=False)
