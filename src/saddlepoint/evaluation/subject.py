"""The subject of ``evaluate.py``: a checkpoint, or images in files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from saddlepoint.metrics.cards import ScoreCard


@dataclass(frozen=True)
class Subject:
    """A prepared evaluation.

    Attributes:
        title: of the printed table.
        out: the file that the cards are appended to, unless the user chooses another.
        score: returns the cards of one seed and one truncation of the latents.
        about: further fields that are written with each card.
        pictures: returns pictures of the last seed's scores, by name, given these scores.
    """

    title: str
    out: Path
    score: Callable[[int, float], list[ScoreCard]]
    about: Mapping[str, Any] = field(default_factory=dict)
    pictures: Callable[[Sequence[ScoreCard]], Mapping[str, Image.Image]] = lambda cards: {}
