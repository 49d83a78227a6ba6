"""Feature extractors, which map images to the features that metrics are computed from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saddlepoint.errors import UserError
from saddlepoint.metrics.features.base import FeatureExtractor, Features
from saddlepoint.metrics.features.channel_classifier import ChannelClassifierFeatures
from saddlepoint.metrics.features.classifier import ClassifierFeatures
from saddlepoint.metrics.features.clip import CLIPFeatures
from saddlepoint.metrics.features.dinov2 import DINOv2Features
from saddlepoint.metrics.features.inception import InceptionFeatures
from saddlepoint.metrics.features.random import RandomFeatures
from saddlepoint.metrics.features.vgg import VGGFeatures

EXTRACTORS: dict[str, type[FeatureExtractor]] = {
    extractor.name: extractor
    for extractor in (
        ClassifierFeatures,
        ChannelClassifierFeatures,
        InceptionFeatures,
        DINOv2Features,
        CLIPFeatures,
        VGGFeatures,
        RandomFeatures,
    )
}
"""By name, as in states and on score cards."""

__all__ = [
    "EXTRACTORS",
    "CLIPFeatures",
    "ChannelClassifierFeatures",
    "ClassifierFeatures",
    "DINOv2Features",
    "FeatureExtractor",
    "Features",
    "InceptionFeatures",
    "RandomFeatures",
    "VGGFeatures",
]


def extractor_from_state(state: Mapping[str, Any], cache_dir: Path) -> FeatureExtractor:
    """Return the extractor with a state from :meth:`FeatureExtractor.state`, as in a checkpoint; needs no data set.

    Raises:
        UserError: the state's name or version is unknown, or its weights are not available.
    """
    name = state.get("name")
    if name not in EXTRACTORS:
        remedy = f"evaluate against the data set with one of the features {', '.join(EXTRACTORS)}"
        raise UserError(f"unknown feature extractor {name!r} in the checkpoint", None, remedy)
    return EXTRACTORS[name].from_state(state, cache_dir)
