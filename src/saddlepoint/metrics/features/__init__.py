"""Feature extractors: what the metrics see of an image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saddlepoint.errors import UserError
from saddlepoint.metrics.features.base import FeatureExtractor, Features
from saddlepoint.metrics.features.channel_classifier import ChannelClassifierFeatures
from saddlepoint.metrics.features.classifier import ClassifierFeatures
from saddlepoint.metrics.features.inception import InceptionFeatures
from saddlepoint.metrics.features.random import RandomFeatures

EXTRACTORS: dict[str, type[FeatureExtractor]] = {
    extractor.name: extractor
    for extractor in (ClassifierFeatures, ChannelClassifierFeatures, InceptionFeatures, RandomFeatures)
}
"""By the name that states and score cards bear."""

__all__ = [
    "EXTRACTORS",
    "ChannelClassifierFeatures",
    "ClassifierFeatures",
    "FeatureExtractor",
    "Features",
    "InceptionFeatures",
    "RandomFeatures",
]


def extractor_from_state(state: Mapping[str, Any], cache_dir: Path) -> FeatureExtractor:
    """Rebuild an extractor from what :meth:`FeatureExtractor.state` put into a checkpoint; needs no data set.

    Raises:
        UserError: no extractor has the state's name or version, or its weights cannot be had.
    """
    name = state.get("name")
    if name not in EXTRACTORS:
        raise UserError(
            f"unknown feature extractor {name!r} in the checkpoint; this version knows {', '.join(EXTRACTORS)}"
        )
    return EXTRACTORS[name].from_state(state, cache_dir)
