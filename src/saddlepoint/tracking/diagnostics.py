"""Plots of diagnostics: the closest pairs of samples, the probability of duplicates, and the classes of samples."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from saddlepoint.metrics import support
from saddlepoint.metrics.support import Support
from saddlepoint.tracking.pictures import on_white, to_picture

PAIRS_ACROSS = 5
TILE, GAP, TEXT = 96, 6, 24
"""In pixels: approximate width of an image, gap between images, and height of a line of text."""
COPIES = "#d62728"
REAL, GENERATED = "0.45", "tab:red"


def closest_pairs(
    pairs: Tensor, nearest: Tensor | None, distances: Sequence[float], radius: float, title: str
) -> Image.Image:
    """Draw the closest pairs of samples, with the nearest training image below each sample.

    Args:
        pairs: uint8 [P, 2, C, H, W].
        nearest: the nearest training image of each sample, uint8 [P, 2, C, H, W]; None to leave out this row.
        distances: distances of the pairs, in ascending order.
        radius: pairs up to this distance are near copies and get a red frame.
        title: title of the picture.
    """
    height, width = pairs.shape[-2:]
    scale = max(1, round(TILE / width))
    height, width = height * scale, width * scale
    below = 1 if nearest is None else 2
    cell = 2 * (width + GAP) + 3 * GAP, below * (height + GAP) + TEXT + 3 * GAP
    rows, across = -(-len(pairs) // PAIRS_ACROSS), min(PAIRS_ACROSS, len(pairs))
    picture = Image.new("RGB", (cell[0] * across + 3 * GAP, cell[1] * rows + TEXT + 3 * GAP), "white")
    pen = ImageDraw.Draw(picture)
    pen.text((picture.width / 2, GAP), title, "black", ImageFont.load_default(TEXT * 0.6), anchor="ma")
    for index, distance in enumerate(distances):
        left = index % PAIRS_ACROSS * cell[0] + 3 * GAP
        top = index // PAIRS_ACROSS * cell[1] + TEXT + 3 * GAP
        colour = COPIES if distance <= radius else "black"
        words = "copy" if distance == 0 else f"{distance:.4g}"
        pen.text((left + width, top), words, colour, ImageFont.load_default(TEXT * 0.6), anchor="ma")
        for row, images in enumerate([pairs] if nearest is None else [pairs, nearest]):
            for column, image in enumerate(images[index]):
                place = left + column * (width + GAP), top + TEXT * 0.8 + row * (height + GAP)
                opaque = on_white(image[None])[0] if len(image) == 4 else image
                tile = to_picture(opaque).convert("RGB").resize((width, height), Image.Resampling.NEAREST)
                picture.paste(tile, (int(place[0]), int(place[1])))
                if row == 0 and distance <= radius:
                    corners = (place[0] - 2, int(place[1]) - 2, place[0] + width + 1, int(place[1]) + height + 1)
                    pen.rectangle(corners, outline=COPIES, width=2)
    return picture


def duplicate_curve(first: Tensor, real_first: Tensor, found: Support, real: Support, title: str) -> Image.Image:
    """Plot the probability that s samples contain a near copy over s, for samples and for real images.

    Thin lines show the probability for equally likely samples with the estimated effective support.

    Args:
        first: first collisions of the samples, from :func:`~saddlepoint.metrics.support.first_collisions`.
        real_first: first collisions of real images.
        found: estimated support of the samples.
        real: estimated support of real images.
        title: title of the plot.
    """
    figure = Figure(figsize=(6.4, 4.6), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    end = max(found.n, real.n, 3)  # at least 3, since the axis begins at 2
    s = np.unique(np.geomspace(2, end, 400).round())
    axes.axhline(0.5, color="0.8", linewidth=0.8, zorder=0)
    for name, times, one, colour in (("real images", real_first, real, REAL), ("samples", first, found, GENERATED)):
        law = 1 - np.exp(-s * (s - 1) / 2 / one.size)
        label = f"{name}: effective support {bounds(one)} (95 %)"
        axes.plot(s, law, color=colour, linewidth=1, linestyle=":", label=None if drawn(one) else label)
        if drawn(one):
            inside = torch.from_numpy(s[s <= one.n])
            axes.plot(inside, support.curve(times, inside.long()), color=colour, linewidth=2, label=label)
    half = support.half_size(first)
    if drawn(found) and half <= found.n:
        label = f"P = 1/2 at s = {half:,.0f}, so N = {support.implied_support(half):,.0f}"
        axes.axvline(half, color=GENERATED, linewidth=0.8, linestyle="--", label=label)
    axes.set(xscale="log", xlim=(2, end), ylim=(0, 1.02), xlabel="samples drawn, s", ylabel="P(two are near copies)")
    axes.set_title(title, fontsize=9, wrap=True)
    axes.plot([], [], color="black", linewidth=1, linestyle=":", label="as many equally likely samples")
    figure.legend(fontsize=8, loc="outside lower center", frameon=False)
    return picture_of(figure)


def drawn(found: Support) -> bool:
    """Whether there are enough pairs of near copies to draw an empirical curve."""
    return found.pairs >= support.ENOUGH_PAIRS


def bounds(found: Support) -> str:
    """Return the confidence interval of the effective support as text.

    >>> bounds(Support(1000, 0, 0.0, 0.0, 1e-4))
    'at least 10,000'
    """
    if found.low == 0:
        return f"at least {found.at_least:,.0f}"
    return f"{found.at_least:,.0f} to {found.at_most:,.0f}"


def class_histogram(counts: Tensor, real: Tensor | None, title: str) -> Image.Image:
    """Plot the number of samples in each class, and the number expected from the real labels.

    Args:
        counts: number of samples in each class, long [K].
        real: number of real labels of each class, long [K]; None for equally frequent classes.
        title: title of the plot.
    """
    total, classes = int(counts.sum()), len(counts)
    shares = torch.ones(classes) if real is None else real.double()
    expected = (shares / shares.sum() * total).numpy()
    deviation = 2 * np.sqrt(expected * (1 - expected / total))
    figure = Figure(figsize=(6.4, 3.6), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    if classes > 100:  # too many to show each; plot a histogram of the counts
        wide = -(-int(counts.max()) // 60) or 1
        edges = (np.arange(0, int(counts.max()) + wide + 1, wide) - 0.5).tolist()
        axes.hist(counts.numpy(), edges, color=GENERATED, alpha=0.8)
        axes.axvline(float(expected.mean()), color=REAL, linestyle="--", label="expected")
        axes.set(xlabel="samples of a class", ylabel="classes", yscale="symlog")
        axes.set_ylim(0, 1.5 * classes)
    else:
        axes.bar(np.arange(classes), counts.numpy(), color=GENERATED, alpha=0.8, label="samples")
        axes.errorbar(
            np.arange(classes), expected, deviation, color=REAL, fmt="_", markersize=14, label="real share ± 2σ"
        )
        axes.set(xlabel="class", ylabel="samples", xticks=np.arange(classes) if classes <= 20 else [])
        axes.set_ylim(0, 1.2 * max(float(counts.max()), float((expected + deviation).max())))  # room for the legend
    axes.set_title(title, fontsize=9, wrap=True)
    axes.legend(fontsize=8)
    return picture_of(figure)


def scatter_of_two(samples: Tensor, real: Tensor, title: str) -> Image.Image:
    """Plot the positions of samples and of real images.

    Args:
        samples: [N, 2].
        real: [M, 2].
        title: title of the plot.
    """
    figure = Figure(figsize=(6.0, 6.0), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for name, points, colour in (("real images", real, REAL), ("samples", samples, GENERATED)):
        across, up = points.numpy().T
        axes.scatter(across, up, 6, color=colour, alpha=0.6, linewidths=0, label=f"{len(points):,} {name}")
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=9, wrap=True)
    axes.legend(fontsize=8)
    return picture_of(figure)


def picture_of(figure: Figure) -> Image.Image:
    """Render a figure as an RGB image."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return Image.open(buffer).convert("RGB")
