"""What ``evaluate.py`` judges: a checkpoint, or images that lie in files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from saddlepoint.metrics.cards import ScoreCard


@dataclass(frozen=True)
class Subject:
    """What is judged, and how.

    Attributes:
        title: of the printed table.
        out: the file that the cards are appended to, unless the user names one.
        score: returns the cards of one seed.
        about: what stands beside each card in that file.
        pictures: returns pictures of what the last seed's scores, which it is given, rest on, by name.
    """

    title: str
    out: Path
    score: Callable[[int], list[ScoreCard]]
    about: Mapping[str, Any] = field(default_factory=dict)
    pictures: Callable[[Sequence[ScoreCard]], Mapping[str, Image.Image]] = lambda cards: {}
