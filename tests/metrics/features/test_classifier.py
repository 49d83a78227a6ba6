"""The data set's classifier, on real digits."""

import dataclasses
import re

import pytest
import torch

from saddlepoint.errors import UserError
from saddlepoint.metrics.evaluation import Evaluator
from saddlepoint.metrics.features import ClassifierFeatures, extractor_from_state
from saddlepoint.metrics.features.training import Order, SmallCNN
from saddlepoint.metrics.real import RealStatistics


@pytest.fixture
def prepared(digits, session_cache) -> ClassifierFeatures:
    extractor = ClassifierFeatures()
    extractor.prepare(digits, session_cache)
    return extractor


def test_learns_digits(prepared, digits) -> None:
    images, labels = digits.splits["held_out"]
    features = prepared(images)
    accuracy = float((features.logits.argmax(1) == labels).float().mean())
    assert accuracy >= 0.96
    assert prepared.accuracy == pytest.approx(accuracy)
    assert (features.pool.shape, features.logits.shape) == ((360, 128), (360, 10))
    assert not features.pool.requires_grad


def test_the_second_time_it_is_read_from_the_cache(prepared, digits, session_cache) -> None:
    reads = digits.reads
    again = ClassifierFeatures()
    again.prepare(digits, session_cache)
    assert digits.reads == reads
    assert (again.version, again.accuracy) == (prepared.version, prepared.accuracy)


def test_training_is_a_function_of_the_data_alone(prepared, digits, tmp_path) -> None:
    """Independently of the global random state, and also under inference mode."""
    torch.manual_seed(123)
    before = torch.get_rng_state()
    again = ClassifierFeatures()
    with torch.inference_mode():
        again.prepare(digits, tmp_path)
    assert again.version == prepared.version
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_a_damaged_cache_is_rebuilt(prepared, digits, tmp_path) -> None:
    first = ClassifierFeatures()
    first.prepare(digits, tmp_path)
    (path,) = (tmp_path / "features").iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    reads = digits.reads
    second = ClassifierFeatures()
    second.prepare(digits, tmp_path)
    assert digits.reads > reads
    assert second.version == first.version


def test_state_survives_a_checkpoint(prepared, digits, tmp_path) -> None:
    torch.save(prepared.state(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    again = extractor_from_state(state, tmp_path / "unused")
    images = digits.splits["held_out"][0]
    assert torch.equal(again(images).pool, prepared(images).pool)
    assert (again.version, again.dim) == (prepared.version, prepared.dim)
    with pytest.raises(UserError, match="recipe"):
        extractor_from_state(state | {"version": "0-1234"}, tmp_path)
    with pytest.raises(UserError, match="unknown feature extractor"):
        extractor_from_state(state | {"name": "resnet"}, tmp_path)


def test_unlabelled_data_are_refused(unlabelled, tmp_path) -> None:
    with pytest.raises(UserError) as caught:
        ClassifierFeatures().prepare(unlabelled, tmp_path)
    problem = "the classifier needs images with at least two classes, which digits does not have"
    assert (caught.value.problem, caught.value.key) == (problem, None)
    assert caught.value.remedy == "choose the features random or inception"


def test_labels_that_cannot_be_learnt_are_refused(digits, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("saddlepoint.metrics.features.training.MAX_STEPS", 100)
    random = torch.Generator().manual_seed(0)
    for split, (images, labels) in digits.splits.items():
        digits.splits[split] = (images, labels[torch.randperm(len(labels), generator=random)])
    with pytest.raises(UserError) as caught:
        ClassifierFeatures().prepare(digits, tmp_path)
    assert re.fullmatch(
        r"the classifier's accuracy on digits's held-out images is \d?\d\.\d%; scores need at least 3\d\.\d%",
        caught.value.problem,
    )


def test_use_before_preparation_is_a_runtime_error() -> None:
    with pytest.raises(RuntimeError, match="prepare"):
        _ = ClassifierFeatures().version


def test_scores_of_real_digits(prepared, digits, session_cache) -> None:
    """Held-out digits score nearly 10; ten memorised digits have a high Inception Score, but also a large distance."""
    reference = RealStatistics.compute(digits, prepared, session_cache, n=360, metrics=("fid", "is", "class_kl"))
    at = {"ema": True, "batchnorm": "none", "labels": "none", "images_seen": 0, "generator_updates": 0, "revision": ""}
    evaluator = Evaluator(prepared, reference, ("fid", "is", "class_kl"), n=360, splits=1)
    images = digits.splits["held_out"][0]
    cards = evaluator.score([images], **at)
    assert [card.beside["classifier_accuracy"] for card in cards] == [prepared.accuracy] * len(cards)
    real = {card.metric: card.value for card in cards}
    ten = {card.metric: card.value for card in evaluator.score([images[:10].repeat(36, 1, 1, 1)], **at)}
    assert 8 < real["is_classifier"] <= 10
    assert real["class_kl_classifier"] < 0.05
    assert ten["fid_classifier"] > 5 * real["fid_classifier"]


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 17, 30), (3, 32, 32), (4, 128, 96)])
def test_any_size_and_channels(shape) -> None:
    network = SmallCNN(**SmallCNN.architecture(shape, 5)).eval()
    pool, logits = network(torch.zeros(2, *shape, dtype=torch.uint8))
    assert (pool.shape, logits.shape) == ((2, 128), (2, 5))


def test_an_epoch_sees_every_row_once() -> None:
    order = Order(10, 4, seed=0)
    seen = torch.cat([order.next() for _ in range(5)])
    assert seen[:10].sort().values.tolist() == list(range(10))
    assert seen[10:].sort().values.tolist() == list(range(10))


def test_another_fingerprint_trains_another_classifier(prepared, digits, tmp_path) -> None:
    digits.info = dataclasses.replace(digits.info, fingerprint="another")
    other = ClassifierFeatures()
    other.prepare(digits, tmp_path)
    assert other.version != prepared.version
