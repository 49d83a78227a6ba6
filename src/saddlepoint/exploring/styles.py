"""Arrangements of samples of style-based generators: mixed styles, directions of styles, and projected images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from omegaconf import DictConfig
from torch import Tensor

from saddlepoint.assembly.restore import Restored
from saddlepoint.errors import UserError
from saddlepoint.exploring import inputs
from saddlepoint.exploring.directions import descending
from saddlepoint.metrics.status_line import status_line
from saddlepoint.systems.capabilities import Draw, HasStyles

SAMPLES = 512
"""Number of styles of which a mean, a deviation or principal components are computed."""


class Mixed(NamedTuple):
    """Samples with mixed styles.

    Attributes:
        coarse: the samples whose coarse styles are kept, one for each row, [R, C, H, W].
        fine: the samples whose fine styles are kept, one for each column, [K, C, H, W].
        samples: [R · K, C, H, W], in row-major order.
    """

    coarse: Tensor
    fine: Tensor
    samples: Tensor

    def picture(self) -> Tensor:
        """Return a grid of R + 1 rows of K + 1 images, with the sources above and on the left."""
        columns = len(self.fine)
        corner = torch.full_like(self.fine[:1], -1)
        rows = [torch.cat([self.coarse[i : i + 1], row]) for i, row in enumerate(self.samples.split(columns))]
        return torch.cat([corner, self.fine, *rows])


def system_of(restored: Restored, key: str) -> HasStyles:
    """Return the system.

    Raises:
        UserError: an error of the setting ``key``, if the system has no styles.
    """
    if isinstance(restored.system, HasStyles):
        return restored.system
    name = restored.about["choices"]["model"]
    raise UserError(f"model={name} has no styles", key, "choose a model that has, such as stylegan2")


@torch.no_grad()
def mix(config: DictConfig, restored: Restored) -> Mixed:
    """Return samples whose styles before ``cut`` are those of the row, and whose other styles are those of the column.

    Karras et al. 2019, arXiv:1812.04948, figure 3. The noise of the layers is that of the row.

    Raises:
        UserError: the model has no styles, or there is no style on one side of the cut.
    """
    system = system_of(restored, "mode")
    columns = config.columns or 6
    rows = max(1, config.n // columns)
    draw = _drawn(restored, system, config.seed, rows + columns, float(config.truncation))
    w = system.styles(draw, config.ema)
    cut = config.cut or w.shape[1] // 2
    if cut >= w.shape[1]:
        raise UserError(f"the model has {w.shape[1]} styles", "cut", f"set it to 1 to {w.shape[1] - 1}")
    row, column = torch.arange(rows).repeat_interleave(columns), rows + torch.arange(columns).repeat(rows)
    mixed = torch.cat([w[row, :cut], w[column, cut:]], 1)
    sources = synthesised(system, w, draw.noise, config.ema)
    samples = synthesised(system, mixed, draw.noise[row], config.ema)
    return Mixed(sources[:rows], sources[rows:], samples)


@torch.no_grad()
def traverse(config: DictConfig, restored: Restored, along: str, rows: int, columns: int, reach: float) -> Tensor:
    """Return samples whose styles are moved from those of the first sample along one direction in each row.

    Args:
        config: the settings ``seed`` and ``ema``.
        restored: a model with styles.
        along: ``sefa`` for the eigenvectors of AᵀA, where A is the weight of all maps from styles to scales of channels
            (Shen & Zhou 2021, arXiv:2007.06600, section 3.2), or ``pca`` for the principal components of styles
            (Härkönen et al. 2020, arXiv:2004.02546, section 2.1).
        rows: maximum number of directions, in descending order.
        columns: number of samples in a row.
        reach: greatest distance in standard deviations of styles along the direction.

    Returns:
        [rows · columns, C, H, W].
    """
    system = system_of(restored, "along")
    draw = _drawn(restored, system, config.seed, SAMPLES)
    w = system.styles(draw, config.ema).mean(1)
    centered = (w - w.mean(0)).double()
    weight = system.style_weight(config.ema).double() if along == "sefa" else centered
    found = descending(weight.T @ weight)[:rows].to(w)
    deviations = (centered.to(w) @ found.T).std(0)
    steps = torch.linspace(-reach, reach, columns, device=w.device).view(1, -1, 1)
    moved = w[0] + steps * (deviations[:, None] * found).unsqueeze(1)
    styles = moved.flatten(0, 1)[:, None].expand(-1, system.style_count, -1)
    noise = draw.noise[:1].expand(len(styles), -1)
    return synthesised(system, styles, noise, config.ema)


def project(config: DictConfig, restored: Restored) -> inputs.Made:
    """Return images of styles that are fitted to ``inputs``, or else to held-out images of the run's data.

    Raises:
        UserError: the images cannot be used, or the model has no styles.
    """
    system = system_of(restored, "mode")
    if config.inputs is None:
        images = inputs.held_out(config, restored)
    else:
        images = inputs.read(config.inputs, config.fit, restored, config.n)
    found = []
    with status_line() as status:
        task = status.add_task(f"projecting {len(images):,} image{'s' * (len(images) > 1)}", total=len(images))
        for some in images.split(system.block):
            found.append(system.project(some, config.seed, config.ema))
            status.advance(task, len(some))
    styles = torch.cat(found)
    with torch.no_grad():
        return inputs.Made(images, synthesised(system, styles, None, config.ema), styles[:, 0].cpu())


def synthesised(system: HasStyles, styles: Tensor, noise: Tensor | None, ema: bool) -> Tensor:
    """Return images of styles [N, L, W] and noise [N, P], generated in blocks, on the CPU."""

    def blocks() -> Iterator[Tensor]:
        for start in range(0, len(styles), system.block):
            rows = slice(start, start + system.block)
            yield system.from_styles(styles[rows], None if noise is None else noise[rows], ema).cpu()

    return torch.cat(list(blocks()))


def _drawn(restored: Restored, system: HasStyles, seed: int, n: int, truncation: float = 1.0) -> Draw:
    return system.draw(seed, 0, n, truncation).to(restored.system.device)
