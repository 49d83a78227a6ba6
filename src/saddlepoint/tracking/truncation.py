"""The plot of scores against the truncation of the latents."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.tracking.diagnostics import GENERATED, REAL, picture_of

ACROSS = 4
"""Number of plots in a row."""
TRADE_OFFS = (("is", "fid"), ("recall", "precision"))
"""Pairs of scores, of which one is plotted against the other."""


def scores_by_truncation(cards: Sequence[ScoreCard]) -> Image.Image:
    """Plot each score against the truncation, and the trade-offs between pairs of scores, as Brock et al. 2019 do.

    A dashed line or a cross shows the score of real images; bars are the cards' intervals.

    Args:
        cards: of at least two truncations; scores that not all truncations have are left out.
    """
    curves: dict[str, list[ScoreCard]] = {}
    for card in sorted(cards, key=lambda card: card.truncation or 1.0):
        curves.setdefault(card.metric, []).append(card)
    most = max(map(len, curves.values()))
    curves = {metric: curve for metric, curve in curves.items() if len(curve) == most}
    pairs = [(a, b) for one, other in TRADE_OFFS for a, b in zip(of(one, curves), of(other, curves), strict=False)]
    total = len(pairs) + len(curves)
    rows = -(-total // ACROSS)
    figure = Figure(figsize=(3.2 * min(ACROSS, total), 2.6 * rows), dpi=120, layout="constrained")
    places = [figure.add_subplot(rows, min(ACROSS, total), index + 1) for index in range(total)]
    for axes, (one, other) in zip(places, pairs, strict=False):
        trade_off(axes, curves[one], curves[other])
    for axes, curve in zip(places[len(pairs) :], curves.values(), strict=True):
        against_truncation(axes, curve)
    return picture_of(figure)


def of(family: str, metrics: Sequence[str] | dict[str, list[ScoreCard]]) -> list[str]:
    """Return the names of a score with any features, such as ``fid`` and ``fid_random``, without ``fid_infinity``."""
    return [name for name in metrics if name == family or (name.startswith(f"{family}_") and "infinity" not in name)]


def against_truncation(axes: Axes, curve: Sequence[ScoreCard]) -> None:
    """Plot one score against the truncation."""
    truncations = [card.truncation or 1.0 for card in curve]
    values = [card.value for card in curve]
    axes.plot(truncations, values, color=GENERATED, marker="o", markersize=3)
    for truncation, card in zip(truncations, curve, strict=True):
        if card.interval is not None:
            axes.plot([truncation, truncation], card.interval, color=GENERATED, linewidth=0.8)
    if curve[0].real is not None:
        axes.axhline(curve[0].real, color=REAL, linestyle="--", linewidth=0.8)
    axes.set_title(curve[0].metric, fontsize=9)
    axes.set_xlabel("truncation", fontsize=8)
    axes.tick_params(labelsize=7)


def trade_off(axes: Axes, across: Sequence[ScoreCard], up: Sequence[ScoreCard]) -> None:
    """Plot one score against another, with a truncation at each point."""
    axes.plot([card.value for card in across], [card.value for card in up], color=GENERATED, marker="o", markersize=3)
    for one, other in zip(across, up, strict=True):
        axes.annotate(f"{one.truncation or 1.0:g}", (one.value, other.value), fontsize=6)
    if across[0].real is not None and up[0].real is not None:
        axes.plot(across[0].real, up[0].real, color=REAL, marker="x", linestyle="none")
    axes.set_xlabel(across[0].metric, fontsize=8)
    axes.set_ylabel(up[0].metric, fontsize=8)
    axes.tick_params(labelsize=7)
