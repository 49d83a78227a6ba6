"""Features of a small CNN that is trained on the data set's own train split.

An Inception Score is meaningful only if its classifier was trained on the generator's data (Barratt and Sharma 2018,
arXiv:1801.01973), which ImageNet is not for digits or leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from saddlepoint.errors import UserError
from saddlepoint.metrics import cache
from saddlepoint.metrics.features.base import FeatureExtractor, Features
from saddlepoint.metrics.features.training import ACTIVATION, DIM, RECIPE, SmallCNN, held_out_accuracy, train
from saddlepoint.metrics.rows import RealData

LEAST_SKILL = 0.25
"""Lowest permitted accuracy, on a scale from always predicting the most frequent class (0) to always correct (1)."""


class ClassifierFeatures(FeatureExtractor):
    """128 features and K logits of a CNN trained on the data set, at the images' own size.

    Its weights depend on the data and the recipe only, not on any setting. Training may round differently on different
    machines (instruction sets, numbers of threads), so the version contains a digest of the weights.

    Attributes:
        accuracy: on the held-out split, in [0, 1].
    """

    name = "classifier"
    has_logits = True
    predicts_labels = True
    resize = "none"
    dim = DIM
    activation = ACTIVATION

    def __init__(self) -> None:
        super().__init__()
        self.accuracy = 0.0
        self._architecture: dict[str, int] = {}
        self._version = ""

    @property
    def version(self) -> str:
        """The recipe's version and a digest of the weights; available once prepared."""
        self._ready()
        return self._version

    @property
    def beside(self) -> dict[str, float]:
        """The accuracy on held-out images."""
        return {"classifier_accuracy": self.accuracy}

    def prepare(self, real: RealData, cache_dir: Path) -> None:
        """Load the classifier of this data set from the cache, or train it; seconds for digits, a minute for MNIST.

        Raises:
            UserError: the data have no labels, or the classifier's accuracy is too low.
        """
        if self.network is not None:
            return
        info = real.info
        if not info.is_image or info.num_classes < 2:
            raise UserError(
                f"the classifier needs images with at least two classes, which {info.name} does not have",
                None,
                f"choose the features {'random or inception' if info.is_image else 'none'}",
            )
        header = {"kind": "classifier", "recipe": RECIPE, "fingerprint": info.fingerprint}
        path = cache_dir / "features" / f"classifier-{cache.short_key(header)}.safetensors"
        architecture = SmallCNN.architecture(info.shape, info.num_classes)
        if (cached := cache.read(path, header)) is not None:
            tensors, facts = cached
        else:
            network = train(real, architecture, self.device)
            tensors = network.state_dict()
            facts = {"accuracy": held_out_accuracy(network, real, self.device), "chance": majority(real)}
            cache.write(path, tensors, header, facts)
        self._restore(architecture, tensors, facts["accuracy"])
        least = facts["chance"] + LEAST_SKILL * (1 - facts["chance"])
        if self.accuracy < least:
            raise UserError(
                f"the classifier's accuracy on {info.name}'s held-out images is {self.accuracy:.1%}; "
                f"scores need at least {least:.1%}",
                None,
                "choose the features random or inception",
            )

    def extract(self, images: Tensor) -> Features:
        """Return pooled features and logits."""
        pool, logits = self._ready()(images)
        return Features(pool, logits)

    def state(self) -> dict[str, Any]:
        """Return architecture, weights and accuracy, about half a megabyte."""
        tensors = {name: tensor.detach().cpu().clone() for name, tensor in self._ready().state_dict().items()}
        return {
            "name": self.name,
            "version": self.version,
            "architecture": dict(self._architecture),
            "accuracy": self.accuracy,
            "tensors": tensors,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], cache_dir: Path) -> Self:
        """Return the classifier of :meth:`state`."""
        extractor = cls()
        if str(state["version"]).split("-")[0] != RECIPE:
            raise UserError(
                f"the checkpoint's classifier has version {state['version']}, but this is recipe {RECIPE}",
                None,
                "evaluate against the data set with the features classifier to train it again",
            )
        extractor._restore(state["architecture"], state["tensors"], state["accuracy"])
        return extractor

    def _restore(self, architecture: Mapping[str, int], tensors: Mapping[str, Tensor], accuracy: float) -> None:
        with torch.random.fork_rng(devices=[]):
            network = SmallCNN(**architecture)
        network.load_state_dict(dict(tensors))
        self._architecture, self.accuracy = dict(architecture), float(accuracy)
        self._version = f"{RECIPE}-{cache.digest(tensors)[:8]}"
        self._adopt(network)


def majority(real: RealData) -> float:
    """Return the frequency of the most frequent class in the held-out split, the accuracy of a constant prediction."""
    counts = torch.zeros(real.info.num_classes, dtype=torch.long)
    for _, labels in real.uint8_batches("held_out"):
        assert labels is not None
        counts += torch.bincount(labels, minlength=len(counts))
    return float(counts.max() / counts.sum())
