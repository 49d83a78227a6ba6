"""Features of a small CNN that the project trains on the data set's own train split.

An Inception Score means something only where its classifier was trained on the data that the generator imitates
(Barratt and Sharma 2018, arXiv:1801.01973), and for digits or leaves ImageNet's classes are no such data.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from saddlepoint.errors import UserError
from saddlepoint.metrics import cache
from saddlepoint.metrics.features.base import FeatureExtractor, Features
from saddlepoint.metrics.features.training import ACTIVATION, DIM, RECIPE, SmallCNN, held_out_accuracy, train

if TYPE_CHECKING:
    from saddlepoint.metrics.real import RealData

LEAST_SKILL = 0.25
"""The part of the way from always naming the most frequent class (0) to always right (1) that accuracy must go."""


class ClassifierFeatures(FeatureExtractor):
    """128 features and K logits of a CNN trained on the data set, at the images' own size.

    Its weights depend on the data and the recipe, and on nothing that a user sets. Different machines (instruction
    sets, numbers of threads) may round differently in training, so the weights' digest is part of the version.

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
        """The recipe and the weights, once prepared."""
        self._ready()
        return self._version

    @property
    def beside(self) -> dict[str, float]:
        """Its accuracy on held-out images."""
        return {"classifier_accuracy": self.accuracy}

    def prepare(self, real: RealData, cache_dir: Path) -> None:
        """Load the classifier of this data set from the cache, or train it; seconds for digits, a minute for MNIST.

        Raises:
            UserError: there are no labels, or the classifier learnt too little to judge anything by.
        """
        if self.network is not None:
            return
        info = real.info
        if not info.is_image or info.num_classes < 2:
            raise UserError(
                f"features=classifier needs images with at least two classes of labels, which {info.name} has not; "
                f"take {'features=random or features=inception' if info.is_image else 'features=none'}"
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
                f"features=classifier reaches {self.accuracy:.1%} on {info.name}'s held-out images and would need "
                f"{least:.1%} to judge by; take features=random or features=inception"
            )

    def extract(self, images: Tensor) -> Features:
        """Return pooled features and logits."""
        pool, logits = self._ready()(images)
        return Features(pool, logits)

    def state(self) -> dict[str, Any]:
        """Return architecture and weights: about half a megabyte."""
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
        """Rebuild the classifier of :meth:`state`."""
        extractor = cls()
        if str(state["version"]).split("-")[0] != RECIPE:
            raise UserError(
                f"the checkpoint's features=classifier are of version {state['version']}, this is recipe {RECIPE}; "
                "evaluate with features=classifier and the data set to train it anew"
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
    """Return the most frequent class's share of the held-out split: what a constant answer scores."""
    counts = torch.zeros(real.info.num_classes, dtype=torch.long)
    for _, labels in real.uint8_batches("held_out"):
        assert labels is not None
        counts += torch.bincount(labels, minlength=len(counts))
    return float(counts.max() / counts.sum())
