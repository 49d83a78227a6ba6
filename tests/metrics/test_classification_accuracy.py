"""The Classification Accuracy Score: by its definition, of real images, of wrong labels, and of collapsed classes."""

import pytest
import torch

from saddlepoint.errors import UserError
from saddlepoint.metrics.classification_accuracy import ClassificationAccuracy, Labelled
from saddlepoint.metrics.evaluation import Evaluator
from saddlepoint.metrics.features import RandomFeatures
from saddlepoint.metrics.features.training import SmallCNN, train
from saddlepoint.metrics.real import RealStatistics
from saddlepoint.metrics.rows import selection

AT = {
    "ema": True, "batchnorm": "running", "labels": "train", "images_seen": 640, "generator_updates": 9, "revision": "a",
}  # fmt: skip
N = 400


@pytest.fixture
def evaluator(digits, tmp_path) -> Evaluator:
    extractor = RandomFeatures()
    reference = RealStatistics.compute(digits, extractor, tmp_path, n=N, metrics=("cas",))
    return Evaluator(extractor, reference, ("cas",), n=N)


def test_it_is_the_accuracy_after_training_on_samples(evaluator, digits) -> None:
    """The samples are the training images that ``real`` is computed from, so the two are equal."""
    images, labels = (rows[selection(len(rows), N, 0)] for rows in digits.splits["train"])
    (card,) = evaluator.score(images.split(64), labels, **AT)
    test_images, test_labels = digits.splits["held_out"]
    data = Labelled(images, labels, "digits", 10, 0)
    network = train(data, SmallCNN.architecture((1, 8, 8), 10), torch.device("cpu")).eval()
    right = network(test_images)[1].argmax(1) == test_labels
    assert card.value == pytest.approx(float(right.double().mean())) == pytest.approx(card.real)
    per_class = [float(right[test_labels == label].double().mean()) for label in range(10)]
    assert card.beside == {"worst_class": pytest.approx(min(per_class)), "tested_on": 360}
    torch.testing.assert_close(
        evaluator.details["cas"]["per_class"], torch.tensor(per_class, dtype=torch.float64), rtol=1e-9, atol=0
    )
    assert card.value > 0.9
    assert (card.metric, card.n, card.real_n, card.features) == ("cas", N, N, "pixels")
    # Labels that say nothing about the images, and classes of one image each.
    (wrong,) = evaluator.score([images], labels[torch.randperm(N, generator=torch.Generator().manual_seed(0))], **AT)
    first = torch.tensor([(labels == label).nonzero()[0, 0] for label in range(10)])
    rows = first[torch.arange(N) % 10]
    (collapsed,) = evaluator.score([images[rows]], labels[rows], **AT)
    assert wrong.value < 0.3
    assert wrong.value < collapsed.value < card.value - 0.2


def test_unconditional_samples_have_no_such_score(evaluator, digits) -> None:
    assert evaluator.score([digits.splits["train"][0][:N]], **AT) == []


def test_mistakes_are_named(digits, unlabelled, grid, tmp_path) -> None:
    images, labels = digits.splits["train"]
    alone = type(digits)({"train": (images, labels), "held_out": (images[:0], labels[:0])})
    for data, problem in ((unlabelled, "cas needs data with at least two classes"), (alone, "cas needs held-out")):
        with pytest.raises(UserError, match=problem):
            RealStatistics.compute(data, grid, tmp_path, n=100, metrics=("cas",))
    assert ClassificationAccuracy.bound_to_n
