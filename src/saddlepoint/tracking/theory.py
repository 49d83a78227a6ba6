"""Plots that compare training with theory: densities, discriminators, divergences, mode hopping and oscillations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saddlepoint.metrics.oscillation import oscillation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

REAL, FAKE, JUDGE, BEST = "0.35", "tab:green", "tab:blue", "tab:orange"
"""The colours of Goodfellow et al. 2014, figure 1: data in black, generator in green, discriminator in blue."""
FRAME_MILLISECONDS, LAST_MILLISECONDS = 400, 2000
SIGNIFICANT = 0.01


@dataclass(frozen=True)
class Frame:
    """Values of one frame of the animation, on the cells of a grid.

    Attributes:
        title: title of the plot.
        axes: centres of the cells, one array per dimension.
        data: the density p_data, [K] or [K, L].
        generated: the density p_g, of the same shape.
        best: the optimal discriminator D*, of the same shape; NaN where both densities are 0.
        judge: the discriminator D, of the same shape; None if its output is not a probability or depends on the other
            samples of the batch.
        points: generated points, [N, D].
        paths: latents [P] and the points [P] that they are mapped to, for data in 1-D; or None.
        images: images seen at each evaluation so far, [T].
        densities: the Jensen-Shannon divergence of the densities, [T].
        judged: the divergence implied by D, [T]; NaN if D is None.
    """

    title: str
    axes: Sequence[Array]
    data: Array
    generated: Array
    best: Array
    judge: Array | None
    points: Array
    paths: tuple[Array, Array] | None
    images: Array
    densities: Array
    judged: Array


def draw(frame: Frame) -> Image.Image:
    """Draw a frame: in 1-D as figure 1 of Goodfellow et al. 2014, in 2-D as maps side by side."""
    return _line(frame) if frame.data.ndim == 1 else _plane(frame)


def _line(frame: Frame) -> Image.Image:
    figure = _figure(11.0, 5.2)
    grid = figure.add_gridspec(2, 2, width_ratios=[2, 1], height_ratios=[3, 1], hspace=0.0, wspace=0.2)
    _place(grid, 0.06, 0.98, 0.11, 0.91)
    axes, below = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[1, 0])
    x = frame.axes[0]
    axes.fill_between(x, frame.data, color=REAL, alpha=0.25, linewidth=0, label="p_data")
    axes.plot(x, frame.generated, color=FAKE, linewidth=1.6, label="p_g")
    axes.set_ylim(0, 2.2 * frame.data.max())
    axes.set_ylabel("density")
    right = axes.twinx()
    right.plot(x, frame.best, color=BEST, linewidth=1.4, label="D* = p_data / (p_data + p_g)")
    if frame.judge is not None:
        right.plot(x, frame.judge, color=JUDGE, linewidth=1.4, linestyle="--", label="D")
    right.axhline(0.5, color="0.8", linewidth=0.8, zorder=0)
    right.set_ylim(-0.02, 1.35)
    right.set_yticks([0, 0.5, 1])
    lines = [*axes.get_legend_handles_labels()[0], *right.get_legend_handles_labels()[0]]
    right.legend(lines, [str(line.get_label()) for line in lines], loc="upper center", ncols=4, fontsize=8)
    axes.set_title(frame.title, fontsize=11, loc="left")
    axes.tick_params(labelbottom=False)
    _paths(below, frame)
    for one in (axes, below):
        one.set_xlim(x[0], x[-1])
    _divergences(figure.add_subplot(grid[:, 1]), frame)
    return _picture(figure)


def _paths(axes: Axes, frame: Frame) -> None:
    """Draw lines from latents z at the bottom, scaled to the width of the plot, to generated points x at the top."""
    axes.set_ylim(0, 1)
    axes.set_yticks([0.06, 0.9], ["z", "x"])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("x")
    if frame.paths is not None:
        z, x = frame.paths
        low, high = frame.axes[0][0], frame.axes[0][-1]
        places = low + (z - z.min()) / (z.max() - z.min()) * (high - low) * 0.5 + (high - low) * 0.25
        axes.plot(np.stack([places, x]), np.array([[0.0], [1.0]]), color=FAKE, linewidth=0.7)


def _plane(frame: Frame) -> Image.Image:
    figure = _figure(14.5, 3.9)
    grid = figure.add_gridspec(1, 4, width_ratios=[1, 1, 1, 1.05], wspace=0.22)
    _place(grid, 0.035, 0.985, 0.12, 0.86)
    x, y = frame.axes
    extent = (x[0], x[-1], y[0], y[-1])
    panels = [figure.add_subplot(grid[0, column]) for column in range(3)]
    panels[0].imshow(_visible(frame.data).T, origin="lower", extent=extent, cmap="Greys", vmin=0, vmax=2)
    panels[0].scatter(frame.points[:, 0], frame.points[:, 1], s=3, color=FAKE, linewidths=0, alpha=0.5)
    panels[0].set_title("p_data (gray) and samples", fontsize=10)
    for axes, values, title in ((panels[1], frame.judge, "D"), (panels[2], frame.best, "D* = p_data / (p_data + p_g)")):
        axes.set_facecolor("0.88")
        axes.set_title(title if values is not None else f"{title}: no probability of x alone", fontsize=10)
        if values is not None:
            image = axes.imshow(values.T, origin="lower", extent=extent, cmap="RdBu", vmin=0, vmax=1)
            figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, ticks=[0, 0.5, 1])
    for axes in panels:
        axes.set_xlim(x[0], x[-1])
        axes.set_ylim(y[0], y[-1])
        axes.set_aspect("equal")
    figure.suptitle(frame.title, fontsize=11, x=0.03, ha="left")
    _divergences(figure.add_subplot(grid[0, 3]), frame)
    return _picture(figure)


def _visible(density: Array) -> Array:
    """Return the square root of a density, scaled to a maximum of 1, to make small peaks visible."""
    visible: Array = np.sqrt(density / density.max())
    return visible


def _divergences(axes: Axes, frame: Frame) -> None:
    axes.axhline(math.log(2), color="0.8", linewidth=0.8)
    axes.plot(frame.images, frame.densities, color=BEST, marker="o", markersize=3, label="from the densities")
    if np.isfinite(frame.judged).any():
        style: dict[str, Any] = {"marker": "o", "markersize": 3, "linestyle": "--"}
        axes.plot(frame.images, frame.judged.clip(-0.35), color=JUDGE, label="implied by D (a lower bound)", **style)
    axes.set_ylim(-0.4, 0.95)
    axes.locator_params(axis="x", nbins=4)
    axes.set_title("JS(p_data, p_g) in nats; the line is log 2", fontsize=10)
    axes.set_xlabel("samples seen")
    axes.legend(loc="lower right", fontsize=8)


def animate(frames: Sequence[Path], target: Path) -> None:
    """Join pictures of equal size to a GIF, which shows the last one for longer."""
    pictures = []
    for path in frames:
        with Image.open(path) as picture:
            pictures.append(picture.convert("RGB").quantize(128, dither=Image.Dither.NONE))
    durations = [FRAME_MILLISECONDS] * (len(pictures) - 1) + [LAST_MILLISECONDS]
    pictures[0].save(target, save_all=True, append_images=pictures[1:], duration=durations, loop=0)


def hopping(images: Sequence[int], shares: Array) -> Image.Image:
    """Plot the share of samples near each mode over time.

    Args:
        images: images seen, in ascending order, [T].
        shares: share of samples near each mode, [T, M]; samples that are not near any mode are missing from the sum.
    """
    figure = _figure(8.5, 4.2)
    grid = figure.add_gridspec(2, 1, height_ratios=[3, 1], hspace=0.12)
    _place(grid, 0.08, 0.98, 0.13, 0.91)
    axes, below = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    modes = shares.shape[1]
    edges = np.append(np.asarray(images, dtype=np.float64), 2 * images[-1] - images[-2] if len(images) > 1 else 1)
    mesh = axes.pcolormesh(edges, np.arange(modes + 1) + 0.5, shares.T * modes, cmap="magma", vmin=0, vmax=3)
    figure.colorbar(mesh, ax=[axes, below], label="share of samples, 1 is even", extend="max", pad=0.02)
    axes.set_ylabel("mode")
    axes.tick_params(labelbottom=False)
    axes.set_title("Where the samples are", fontsize=11, loc="left")
    lost = 1 - shares.sum(1)
    below.fill_between(edges, np.append(lost, lost[-1]), step="post", color="tab:red", alpha=0.5, linewidth=0)
    below.set_ylim(0, 1)
    below.set_ylabel("near none")
    below.set_xlabel("samples seen")
    for one in (axes, below):
        one.set_xlim(edges[0], edges[-1])
    return _picture(figure)


def losses(images: Array, rows: dict[str, Array]) -> Image.Image:
    """Plot losses over images seen, with a moving average; the titles report whether they oscillate.

    Args:
        images: images seen, [T].
        rows: the loss of each player, [T], by name.
    """
    figure = _figure(8.5, 2.6 * len(rows) + 0.4)
    grid = figure.add_gridspec(len(rows), 1, hspace=0.35)
    _place(grid, 0.09, 0.98, 0.28 / len(rows), 0.9 + 0.02 * len(rows))
    window = max(3, len(images) // 20) | 1
    axes = None
    for row, (name, values) in enumerate(rows.items()):
        axes = figure.add_subplot(grid[row])
        axes.plot(images, values, color="0.75", linewidth=0.8)
        kernel, padded = np.ones(window) / window, np.pad(values, window // 2, mode="edge")
        axes.plot(images, np.convolve(padded, kernel, "valid"), color=JUDGE if "disc" in name else FAKE, linewidth=1.6)
        axes.set_title(f"{name}: {_swing(values, images)}", fontsize=10, loc="left")
        axes.set_xlim(images[0], images[-1])
    assert axes is not None
    axes.set_xlabel("samples seen")
    return _picture(figure)


def _swing(values: Array, images: Array) -> str:
    found = oscillation(values, images)
    if found is None:
        return "too few rows to test for oscillation"
    if found.p_value > SIGNIFICANT:
        return f"no oscillation beyond noise (strongest frequency {found.share:.0%} of the variance)"
    return (
        f"oscillates by ±{found.swing:.2g} every {found.period:,.0f} samples, {found.share:.0%} of the variance "
        f"(p = {found.p_value:.1g})"
    )


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=90)


def _place(grid: Any, left: float, right: float, bottom: float, top: float) -> None:
    """Set margins explicitly, since a layout engine takes as long as all of the drawing."""
    grid.update(left=left, right=right, bottom=bottom, top=top)


def _picture(figure: Figure) -> Image.Image:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
