"""The Classification Accuracy Score.

Ravuri and Vinyals 2019, "Classification Accuracy Score for Conditional Generative Models", arXiv:1905.10887.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from saddlepoint.errors import UserError
from saddlepoint.metrics.base import Figure, Metric, Sample
from saddlepoint.metrics.features.base import FeatureExtractor
from saddlepoint.metrics.features.training import RECIPE, SmallCNN, train
from saddlepoint.metrics.float32 import full_float32
from saddlepoint.types import DataInfo, Split

AT_ONCE = 500
"""Images that are classified at a time."""


class ClassificationAccuracy(Metric):
    """The accuracy, on held-out images, of a classifier that is trained on samples and the labels they were given.

    ``real`` is the accuracy of the same classifier trained on as many training images. A low score has many causes:
    classes that lack variety, samples of the wrong class, bad samples. The classifier and its training are those of
    ``features=classifier``, not the ResNet-50 of the paper. Unconditional generators have no such score. Not a default
    metric, since it trains a classifier.
    """

    name = "cas"
    needs = frozenset({"images", "labels", "label_counts"})
    bound_to_n = True

    def check(self, num_classes: int, dim: int) -> None:
        """Check that there are labels.

        Raises:
            UserError: there are not.
        """
        if num_classes < 2:
            raise UserError("cas needs data with at least two classes", "metrics", "leave it out")

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Return the held-out images that are classified, and the accuracies after training on real images, [K].

        Raises:
            UserError: there are no held-out images.
        """
        held_out = real.held_out
        if held_out is None or held_out.images is None or held_out.labels is None:
            raise UserError("cas needs held-out images", "metrics", "leave it out")
        assert real.images is not None
        assert real.labels is not None
        assert real.label_counts is not None
        test = {"images": held_out.images, "labels": held_out.labels}
        classes = len(real.label_counts)
        found = accuracies(real.images, real.labels, test, classes, self.seed, "cpu", "real images")
        return {**test, "accuracies": found, "size": torch.tensor(len(real.images))}

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return the score; each class's accuracy is the detail "per_class", NaN for classes without held-out images.

        The lowest of them is beside it.
        """
        if sample.labels is None or sample.images is None:
            return []
        classes = len(reference["accuracies"])
        found = accuracies(
            sample.images, sample.labels, reference, classes, self.seed, extractor.device, "labelled samples"
        )
        return [self._figure(found, reference["labels"], len(sample.images))]

    def real_figures(
        self, held_out: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor
    ) -> list[Figure]:
        """Return the score of training images."""
        return [self._figure(reference["accuracies"], reference["labels"], int(reference["size"]))]

    def _figure(self, accuracies: Tensor, labels: Tensor, n: int) -> Figure:
        shares = torch.bincount(labels, minlength=len(accuracies)).double() / len(labels)
        value = float((shares * accuracies).nansum())
        worst = float(accuracies[shares > 0].min())
        return Figure(
            self.name,
            value,
            n,
            features=("pixels", f"classifier-{RECIPE}", "none"),
            details={"per_class": accuracies},
            beside={"worst_class": worst, "tested_on": float(len(labels))},
        )


class Labelled:
    """Labelled images in memory, as data for :func:`~saddlepoint.metrics.features.training.train`.

    Args:
        images: uint8 [N, C, H, W].
        labels: long [N].
        name: of the images.
        classes: number of classes.
        seed: seeds the training.
    """

    def __init__(self, images: Tensor, labels: Tensor, name: str, classes: int, seed: int) -> None:
        self.images, self.labels = images, labels
        names = tuple(map(str, range(classes)))
        self.info = DataInfo(name, tuple(images.shape[1:]), names, {"train": len(images)}, f"cas {seed}")

    def uint8_batches(self, split: Split, batch_size: int = 500) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield the images and labels, which are the training split."""
        yield from zip(self.images.split(batch_size), self.labels.split(batch_size), strict=True)


def accuracies(
    images: Tensor,
    labels: Tensor,
    test: Mapping[str, Tensor],
    classes: int,
    seed: int,
    device: torch.device | str,
    name: str,
) -> Tensor:
    """Train a classifier and return its accuracy on each class of the test images, float64 [K]; NaN without images.

    Args:
        images: uint8 [N, C, H, W].
        labels: long [N].
        test: ``images``, uint8 [M, C, H, W], and ``labels``, long [M].
        classes: K.
        seed: of the weights and of the order of the images.
        device: where it is trained.
        name: of the images, for the display of progress.
    """
    device = torch.device(device)
    data = Labelled(images, labels, name, classes, seed)
    network = train(data, SmallCNN.architecture(data.info.shape, classes), device).eval()
    with torch.inference_mode(), full_float32(device):
        predicted = torch.cat([network(part.to(device))[1].argmax(1).cpu() for part in test["images"].split(AT_ONCE)])
    right = torch.bincount(test["labels"][predicted == test["labels"]], minlength=classes).double()
    return right / torch.bincount(test["labels"], minlength=classes)
