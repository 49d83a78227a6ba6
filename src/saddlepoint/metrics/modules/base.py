"""Base classes of metrics that compare real with generated samples."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from saddlepoint.metrics.features.base import FeatureExtractor
from saddlepoint.metrics.rows import as_many_as_real, selection

MIN_SAMPLES = 2
"""Minimum number of real and of generated samples."""


class TwoSampleMetric(Metric):
    """A metric of real and generated samples, given as features or as images.

    Args:
        features: the number of features F of the rows that :meth:`update` is given, or a prepared extractor, for
            which it is given images.
        reset_real_features: whether :meth:`reset` discards the real samples too.
        **kwargs: of :class:`torchmetrics.Metric`.
    """

    is_differentiable = False
    full_state_update = True  # forward() would otherwise add real samples that reset() keeps a second time
    real_state: ClassVar[str]

    def __init__(self, features: int | FeatureExtractor, reset_real_features: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.extractor = None if isinstance(features, int) else features
        self.dim = features if isinstance(features, int) else features.dim
        self.reset_real_features = reset_real_features

    def rows(self, samples: Tensor) -> Tensor:
        """Return the features of samples, [N, F], on the metric's device.

        Args:
            samples: rows [N, F], or for an extractor images, uint8 [N, C, H, W].

        Raises:
            TypeError: there is an extractor, and the samples are not images.
            ValueError: the rows do not have F features.
        """
        if self.extractor is not None:
            samples = self.extractor.to(self.device)(samples).pool
        if samples.shape[1:] != (self.dim,):
            raise ValueError(f"expected rows of shape [N, {self.dim}], got {list(samples.shape)}")
        return samples.to(self.device)

    def reset(self) -> None:
        """Discard the samples; the real ones only with ``reset_real_features``."""
        real = getattr(self, self.real_state)
        real = real.copy() if isinstance(real, list) else real
        super().reset()
        if not self.reset_real_features:
            setattr(self, self.real_state, real)


class EqualSetsMetric(TwoSampleMetric):
    """A metric that compares equal numbers of real and generated samples, and keeps the features of all of them.

    A random subset of the larger set is compared with the smaller set. It depends on the order of the samples, which on
    several processes is that of the ranks.

    Args:
        features: as for :class:`TwoSampleMetric`.
        seed: seeds the choice of the subset.
        reset_real_features: whether :meth:`reset` discards the real samples too.
        **kwargs: of :class:`torchmetrics.Metric`.
    """

    real_state = "real_rows"
    real_rows: list[Tensor]
    fake_rows: list[Tensor]

    def __init__(
        self, features: int | FeatureExtractor, seed: int = 0, reset_real_features: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(features, reset_real_features, **kwargs)
        self.seed = seed
        self.add_state("real_rows", default=[], dist_reduce_fx="cat")
        self.add_state("fake_rows", default=[], dist_reduce_fx="cat")

    def update(self, samples: Tensor, real: bool) -> None:
        """Add real or generated samples.

        Args:
            samples: rows [N, F] of any real type, which are kept as float32; or for an extractor images, uint8
                [N, C, H, W].
            real: whether the samples are real.
        """
        (self.real_rows if real else self.fake_rows).append(self.rows(samples).float())

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather the states of all processes, some of which may not have received any samples."""
        for rows in (self.real_rows, self.fake_rows):
            if isinstance(rows, list) and not rows:
                rows.append(torch.zeros(0, self.dim, device=self.device))
        super().sync(*args, **kwargs)

    def equal_sets(self) -> tuple[Tensor, Tensor]:
        """Return the real and the generated rows to compare, [N, F] each, on the CPU.

        Raises:
            ValueError: one side has fewer than two samples.
        """
        sides = {"real": self.real_rows, "generated": self.fake_rows}
        real, fake = (dim_zero_cat(rows).cpu() if len(rows) else torch.zeros(0, self.dim) for rows in sides.values())
        check_enough(len(real), len(fake))
        real = real[selection(len(real), len(fake), self.seed)]
        return real, fake[as_many_as_real(len(fake), len(real), self.seed)]

    def result(self, value: float) -> Tensor:
        """Return a figure as a float64 scalar on the metric's device."""
        return torch.tensor(value, dtype=torch.float64, device=self.device)


def check_enough(real: int, fake: int) -> None:
    """Check that there are enough samples of both kinds.

    Raises:
        ValueError: there are fewer than two of either.
    """
    if min(real, fake) < MIN_SAMPLES:
        raise ValueError(
            f"needs at least {MIN_SAMPLES} real and {MIN_SAMPLES} generated samples, got {real} and {fake}"
        )
