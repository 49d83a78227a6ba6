"""The plot of the frequency spectra of samples and of real images."""

from __future__ import annotations

from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from saddlepoint.tracking.diagnostics import GENERATED, REAL, picture_of


def spectra(samples: Tensor, real: Tensor, title: str) -> Image.Image:
    """Plot the mean power of samples and of real images over the frequency.

    Args:
        samples: the power at each frequency 0 … K, in cycles per shorter side, [K + 1].
        real: the same of real images.
        title: title of the plot.
    """
    figure = Figure(figsize=(6.4, 4.0), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    frequency = range(len(real))
    axes.plot(frequency, real, color=REAL, linewidth=2, label="real images")
    axes.plot(frequency, samples, color=GENERATED, linewidth=2, label="samples")
    axes.set(yscale="log", xlabel="frequency, cycles per shorter side", ylabel="power", xlim=(0, len(real) - 1))
    axes.set_title(title, fontsize=9, wrap=True)
    axes.legend(fontsize=8)
    return picture_of(figure)
