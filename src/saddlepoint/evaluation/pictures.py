"""Pictures of an evaluation: the closest pairs, the curve of P(duplicate), the histogram of classes, and spectra."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from PIL import Image
from torch import Tensor

from saddlepoint.metrics.base import small_pixels
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.metrics.evaluation import Evaluator
from saddlepoint.metrics.neighbours import nearest_neighbours
from saddlepoint.metrics.rows import RealData
from saddlepoint.metrics.support import Support
from saddlepoint.tracking import diagnostics
from saddlepoint.tracking.spectrum import spectra

MOST_TRAINING_IMAGES = 200_000
"""Size of the training split above which nearest training images are not searched for, since that reads all files."""

ImagesAt = Callable[[Tensor], Tensor]
"""Returns the evaluated images with these indices, long [M], as uint8 [M, C, H, W]."""


def draw(
    evaluator: Evaluator, cards: Sequence[ScoreCard], images_at: ImagesAt, real: RealData | None
) -> dict[str, Image.Image]:
    """Return pictures of the evaluator's last scores, by name.

    Args:
        evaluator: after scoring.
        cards: the scores.
        images_at: returns the evaluated images by index.
        real: the data set, for the nearest training images; None to omit them.
    """
    by_name = {card.metric: card for card in cards}
    pictures = {}
    for name, details in evaluator.details.items():
        if "pairs" in details:
            space = name.removeprefix("duplicates_")
            verdict = by_name[f"support_{space}"].note or ""
            pictures[f"closest_pairs_{space}"] = pairs(space, details, images_at, real)
            found, own = Support.from_tensor(details["support"]), Support.from_tensor(details["real_support"])
            title = f"near copies in {space}: {verdict}"
            pictures[f"duplicate_curve_{space}"] = diagnostics.duplicate_curve(
                details["first"], details["real_first"], found, own, title
            )
        if "histogram" in details:
            card = by_name[name]
            beside = ", ".join(f"{key} {value:.4g}" for key, value in (card.beside or {}).items())
            title = f"{name} {card.value:.4g} ({beside})"
            pictures[name] = diagnostics.class_histogram(details["histogram"], details.get("real"), title)
        if "spectrum" in details:
            title = f"azimuthally averaged power: mean log difference {by_name[name].value:.3g}"
            pictures[name] = spectra(details["spectrum"], details["real_spectrum"], title)
    return pictures


def pairs(space: str, details: Mapping[str, Tensor], images_at: ImagesAt, real: RealData | None) -> Image.Image:
    """Draw the closest pairs, above their nearest training images unless there are too many to search."""
    images = images_at(details["pairs"].flatten())
    nearest, below = None, ""
    if real is not None and real.info.sizes["train"] <= MOST_TRAINING_IMAGES:
        nearest, below = nearest_training(images, real), ", above their nearest training images in pixels"
    shape = (len(details["pairs"]), 2, *images.shape[1:])
    radius = float(details["threshold"])
    return diagnostics.closest_pairs(
        images.view(shape), None if nearest is None else nearest.view(shape), details["distances"].tolist(), radius,
        f"The {shape[0]} closest pairs in {space} (near copies: up to {radius:.4g}){below}",
    )  # fmt: skip


def nearest_training(images: Tensor, real: RealData) -> Tensor:
    """Return the training image nearest in pixels to each of ``images``, both uint8 [M, C, H, W]."""
    rows = small_pixels(images)
    best, found = torch.full((len(images),), torch.inf, dtype=torch.float64), images.clone()
    for batch, _ in real.uint8_batches("train"):
        distances, indices = nearest_neighbours(rows, 1, among=small_pixels(batch))
        nearer = distances[:, 0] < best
        best[nearer], found[nearer] = distances[nearer, 0], batch[indices[nearer, 0]]
    return found
