"""Plots that compare a GAN with theory during training, for data of known density."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from saddlepoint.callbacks.periodic import OverBudget, game_of
from saddlepoint.losses.leastsquares import LeastSquares
from saddlepoint.losses.minimax import Minimax
from saddlepoint.losses.nonsaturating import NonSaturating
from saddlepoint.metrics.densities import (
    Grid,
    OnGrid,
    jensen_shannon_of_discriminator,
    optimal_discriminator,
)
from saddlepoint.networks.layers.statistics import compares_samples
from saddlepoint.systems.capabilities import Generates
from saddlepoint.systems.encoders import FrozenEncoder
from saddlepoint.systems.game import Game
from saddlepoint.tracking import theory
from saddlepoint.tracking.record import RunRecord
from saddlepoint.writing import read_json_lines

FRAMES = 10
"""Number of frames over a run, in addition to that of the untrained system."""
PATHS = 41
"""Number of latents that are connected with the points they are mapped to."""
SCATTERED = 2_000
DENSITIES, JUDGED = "theory/js_densities", "theory/js_discriminator"


class Theory(OverBudget):
    """Saves ``pictures/theory-*.png`` and, at the end, ``pictures/theory.gif``.

    The plots compare the discriminator D with the optimal discriminator, and the Jensen-Shannon divergence implied by D
    with that of the densities. In 1-D they also show the densities and the mapping from latents to points. The
    generator is in evaluation mode and its weights are not averaged.

    Args:
        record: the run's record.
        means: means of the mixture's modes, [M, D].
        std: standard deviation of each mode.
        real: held-out points, [N, D].
        every_images: images seen between two frames; by default, a tenth of the budget.
        points: number of samples from which the density p_g is estimated.
        seed: seed of the latents, which are the same in every frame.
    """

    events = FRAMES

    def __init__(
        self,
        record: RunRecord,
        means: Tensor,
        std: float,
        real: Tensor,
        every_images: PositiveInt | None = None,
        points: PositiveInt = 10_000,
        seed: int = 0,
    ) -> None:
        super().__init__(every_images)
        self.record, self.real = record, real
        self.grid = Grid(means, std)
        self.points, self.seed = points, seed

    def fire(self, trainer: pl.Trainer, system: Game) -> None:
        """Save a frame and log both divergences."""
        if not trainer.is_global_zero:
            return
        assert isinstance(system, Generates)
        samples = system.sample(self.points, seed=self.seed, ema=False).float().cpu()
        if not torch.isfinite(samples).all():
            return  # divergence is reported elsewhere
        generated = self.grid.estimate(samples)
        row = {DENSITIES: self.grid.divergence(generated)}
        judge = self._judge(system)
        if judge is not None:
            row[JUDGED] = jensen_shannon_of_discriminator(judge(self.real), judge(samples[: len(self.real)]))
        self.record.log(system.progress, row)
        picture = theory.draw(self._frame(system, samples, generated, judge))
        self.record.log_picture(system.progress, "theory", picture, folder="pictures")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the last frame and the animation."""
        super().on_train_end(trainer, pl_module)
        if not trainer.is_global_zero:
            return
        progress = game_of(pl_module).progress
        frames = sorted((self.record.directory / "pictures").glob("theory-*.png"))
        frames = [path for path in frames if int(path.stem.rpartition("-")[2]) <= progress.images_seen]
        if frames:
            path = self.record.directory / "pictures" / "theory.gif"
            theory.animate(frames, path)
            self.record.log_animation(progress, "theory_animation", path)

    def _frame(self, system: Game, samples: Tensor, generated: OnGrid, judge: Any) -> theory.Frame:
        grid = self.grid
        data, density = grid.shown(grid.data), grid.shown(generated.density)
        rows = [row for row in read_json_lines(self.record.directory / "history.jsonl") if DENSITIES in row]
        return theory.Frame(
            title=f"{system.progress.images_seen:,} samples seen",
            axes=[axis.reshape(len(shown), -1).mean(1) for axis, shown in zip(grid.centres, _sides(data), strict=True)],
            data=data,
            generated=density,
            best=optimal_discriminator(data, density),
            judge=None if judge is None else judge(grid.shown_points()).sigmoid().numpy().reshape(data.shape),
            points=samples[:SCATTERED].numpy(),
            paths=self._paths(system) if data.ndim == 1 else None,
            images=np.array([row["images_seen"] for row in rows], dtype=np.float64),
            densities=np.array([row[DENSITIES] for row in rows], dtype=np.float64),
            judged=np.array([row.get(JUDGED, np.nan) for row in rows], dtype=np.float64),
        )

    def _paths(self, system: Game) -> tuple[Any, Any] | None:
        """Return latents along the first axis of the latent space, and the points generated from them."""
        dim = getattr(system, "latent_dim", None)
        if dim is None or not isinstance(system, Generates):
            return None
        reach = 1.0 if getattr(system, "prior", "normal") == "uniform" else 2.5
        z = torch.zeros(PATHS, dim)
        z[:, 0] = torch.linspace(-reach, reach, PATHS)
        return z[:, 0].numpy(), system.sample(PATHS, latents=z, ema=False).cpu().flatten().numpy()

    def _judge(self, system: Game) -> Any:
        """Return a function from points to logits of D, or None if D does not estimate a probability for each point."""
        critic = system.networks.get("discriminator")
        if critic is None or compares_samples(critic):
            return None  # as with BatchNorm, D(x) depends on the other samples of the batch
        if isinstance(system.frozen_encoder, FrozenEncoder):
            return None  # D judges codes
        to_logits = probability_logits(getattr(system, "loss", None))
        if to_logits is None:
            return None

        def judge(points: Tensor) -> Tensor:
            training = critic.training
            critic.eval()
            try:
                with torch.no_grad(), torch.autocast(system.device.type, enabled=False):
                    logits: Tensor = to_logits(critic(points.to(system.device), None).logits.float()).cpu()
            finally:
                critic.train(training)
            return logits

        return judge


def probability_logits(loss: nn.Module | None) -> Any:
    """Return a function from a critic's outputs to logits of a probability whose optimum is D*, or None.

    The optimum is D* = p_data / (p_data + p_g) for the minimax and the non-saturating loss without label smoothing
    (Goodfellow et al. 2014, proposition 1). For least squares with targets a and b, the optimal output is
    (b p_data + a p_g) / (p_data + p_g) (Mao et al. 2017, equation 5), from which D* follows.
    """
    if isinstance(loss, Minimax | NonSaturating) and not getattr(loss, "label_smoothing", 0):
        return lambda outputs: outputs
    if isinstance(loss, LeastSquares) and loss.b != loss.a:
        a, b = float(loss.a), float(loss.b)
        return lambda outputs: ((outputs - a) / (b - a)).clamp(1e-6, 1 - 1e-6).logit()
    return None


def _sides(values: Any) -> list[range]:
    return [range(side) for side in values.shape]
