"""Pictures of samples: grids of images and scatter plots of points."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GRID_SIDE = 800
"""Approximate width in pixels to which grids of small images are enlarged, by an integer factor, without smoothing."""
MOST_NAMED = 10
"""Number of classes up to which a scatter plot has a legend."""


def grid(images: Tensor, columns: int | None = None) -> Image.Image:
    """Arrange images in a grid.

    Args:
        images: uint8 [N, C, H, W] with one channel (gray), three (RGB) or four (RGBA, composited on white).
        columns: number of images per row, at most N; by default the square root of N, rounded up.
    """
    images = on_white(images.cpu()) if images.shape[1] == 4 else images.cpu()
    n, channels, height, width = images.shape
    columns = min(columns or math.ceil(math.sqrt(n)), n)
    rows = math.ceil(n / columns)
    gap = 1 if max(height, width) < 64 else 2
    canvas = torch.full((channels, rows * (height + gap) + gap, columns * (width + gap) + gap), 128, dtype=torch.uint8)
    for i, image in enumerate(images):
        top = gap + (i // columns) * (height + gap)
        left = gap + (i % columns) * (width + gap)
        canvas[:, top : top + height, left : left + width] = image
    picture = to_picture(canvas)
    scale = max(1, GRID_SIDE // picture.width)
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def on_white(images: Tensor) -> Tensor:
    """Composite images uint8 [N, 4, H, W] on white; return uint8 [N, 3, H, W]."""
    colour, alpha = images[:, :3].int(), images[:, 3:].int()
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).to(torch.uint8)


def to_picture(image: Tensor) -> Image.Image:
    """Convert an image uint8 [C, H, W]; two channels are averaged."""
    array = image.cpu().numpy()
    if array.shape[0] == 2:
        array = array.mean(axis=0, keepdims=True).astype(np.uint8)
    if array.shape[0] == 1:
        return Image.fromarray(array[0], mode="L")
    return Image.fromarray(np.ascontiguousarray(array.transpose(1, 2, 0)))


def scatter(points: Tensor, real: Tensor | None, title: str) -> Image.Image:
    """Plot generated points [N, D] over real points [M, D], if any: a scatter plot in 2-D, histograms in 1-D."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    generated = points.cpu().numpy()
    true = None if real is None else real.cpu().numpy()
    shown = generated if true is None else true
    low, high = shown.min(axis=0), shown.max(axis=0)
    margin = 0.15 * (high - low).max() or 1.0  # of a single point
    if shown.shape[1] == 1:
        bins = np.linspace(low[0] - margin, high[0] + margin, 120).tolist()
        if true is not None:
            axes.hist(true[:, 0], bins, density=True, color="0.75", label="real")
        axes.hist(generated[:, 0], bins, density=True, histtype="step", color="tab:red", label="generated")
    else:
        if true is not None:
            axes.scatter(true[:, 0], true[:, 1], s=4, color="0.75", linewidths=0, label="real")
        axes.scatter(generated[:, 0], generated[:, 1], s=4, color="tab:red", linewidths=0, alpha=0.6, label="generated")
        axes.set_ylim(low[1] - margin, high[1] + margin)
        axes.set_aspect("equal")
    axes.set_xlim(low[0] - margin, high[0] + margin)
    axes.set_title(title, fontsize=10)
    axes.legend(loc="upper right", fontsize=8)
    return _drawn(figure)


def codes(points: Tensor, labels: Tensor | None, prior: Tensor, title: str) -> Image.Image:
    """Plot codes [N, 2] over draws of their prior [M, 2] in gray; labels, long [N], are shown as colours."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    behind, rows = prior.cpu().numpy(), points.cpu().numpy()
    axes.scatter(behind[:, 0], behind[:, 1], s=4, color="0.8", linewidths=0, label="prior")
    classes = np.zeros(len(rows), int) if labels is None else labels.cpu().numpy()
    named = len(np.unique(classes)) <= MOST_NAMED and labels is not None
    for label in np.unique(classes):
        some, colour = rows[classes == label], f"C{label % 10}"
        axes.scatter(some[:, 0], some[:, 1], s=8, color=colour, linewidths=0, label=f"{label}" if named else None)
    axes.set_aspect("equal")
    axes.set_title(title, fontsize=10)
    axes.legend(loc="upper right", fontsize=8)
    return _drawn(figure)


def _drawn(figure: Figure) -> Image.Image:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return Image.open(buffer).convert("RGB")
