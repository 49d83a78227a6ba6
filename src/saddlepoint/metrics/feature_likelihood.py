"""Feature Likelihood Divergence, which is large for copies of training images as well as for bad samples.

Jiralerspong et al. 2023, "Feature Likelihood Divergence: Evaluating the Generalization of Generative Models Using
Samples", arXiv:2302.04440.

A mixture of Gaussians, one around each sample with a variance of its own, is fitted to training images. The score is
the negative log-likelihood of held-out images under this mixture, relative to that under a mixture around training
images. A Gaussian around a copy of a training image gets a tiny variance, which makes held-out images unlikely. So the
score is large for copies, for bad samples, and for samples without variety.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from saddlepoint.errors import UserError
from saddlepoint.metrics.base import Figure, Metric, Sample
from saddlepoint.metrics.features.base import FeatureExtractor
from saddlepoint.metrics.rows import permutation

MOST_SAMPLES = 10_000
"""Largest number of Gaussians, as in the authors' code."""
MOST_FITTED = 20_000
"""Largest number of training images that variances are fitted to; the authors use all."""
STEPS = 50
"""Epochs of the fit."""
BATCH = 10_000
"""Training images in a step of the fit."""
LEARNING_RATE = 0.5
ORIGIN_SCALE = 0.81
"""Factor of the squared distances to the additional Gaussian."""
SMALLEST, LARGEST = -40.0, 20.0
"""Limits of the logarithms of variances."""
VERY_HIGH = 1_000.0
"""Score above which the authors' code warns of memorised images."""
ROWS = 512
"""Rows whose densities are computed at once."""


class FeatureLikelihood(Metric):
    """FLD = 100 (NLL of held-out images - NLL under training images) / F, in nats per feature; lower is better.

    0 for a generator that is as good as a set of real images. ``generalization_gap`` beside it is 100 (NLL of training
    images - NLL of held-out images) / F: far below 0 for copies. Features without variance are left out.
    """

    name = "fld"
    needs = frozenset({"pool", "train_pool"})
    bound_to_n = True

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Return the standardized features of training and held-out images, and the baseline.

        Raises:
            UserError: there are no held-out images, or fewer than four training images.
        """
        assert real.train_pool is not None
        assert real.pool is not None
        if real.held_out is None or real.held_out.pool is None:
            raise UserError("fld needs held-out images", "metrics", "leave it out")
        if len(real.train_pool) < 4:
            raise UserError("fld needs at least four training images", "metrics", "leave it out")
        test = real.held_out.pool.double()
        mean, std = test.mean(0), test.std(0)
        scale = torch.where(std > 0, 1 / std, 0.0)
        used = std > 0
        train = (real.train_pool[permutation(len(real.train_pool), self.seed, self.name)].double() - mean) * scale
        test = ((test - mean) * scale)[:, used]
        train = train[:, used].float()
        half = min(len(real.pool), MOST_SAMPLES, len(train) // 2)
        baseline = Mixture(train[:half])
        baseline.fit(train[half:][:MOST_FITTED])
        return {
            "mean": mean, "scale": scale, "train": train[:MOST_FITTED].clone(), "test": test.float(),
            "baseline": baseline.negative_log_likelihood(test.float()).mean(),
        }  # fmt: skip

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return the divergence."""
        assert sample.pool is not None
        used = reference["scale"] > 0
        rows = sample.pool[permutation(len(sample.pool), self.seed, self.name)[:MOST_SAMPLES]]
        rows = ((rows.double() - reference["mean"]) * reference["scale"])[:, used].float()
        mixture = Mixture(rows, extractor.device)
        mixture.fit(reference["train"])
        test, train = (float(mixture.negative_log_likelihood(reference[of]).mean()) for of in ("test", "train"))
        value = 100 * (test - float(reference["baseline"]))
        beside = {"generalization_gap": 100 * (train - test), "fitted_to": float(len(reference["train"]))}
        note = "very high, as if training images were copied" if value > VERY_HIGH else None
        return [Figure(extractor.score_name(self.name), value, len(rows), beside=beside, note=note)]

    def real_figures(
        self, held_out: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor
    ) -> list[Figure]:
        """Return none, since the score of real images is 0 by definition."""
        return []


class Mixture:
    """An equal mixture of isotropic Gaussians with fixed centres.

    Args:
        centres: [N, F], float32.
        device: where densities are computed.

    Attributes:
        log_variances: float32 [N].
    """

    def __init__(self, centres: Tensor, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        if self.device.type == "mps":  # it has no float64
            self.device = torch.device("cpu")
        self.centres = centres.to(self.device)
        self.log_variances = torch.zeros(len(centres), device=self.device)

    def squares(self, rows: Tensor) -> Tensor:
        """Return squared distances, float32 [B, N], of rows [B, F] to the centres, computed in float64."""
        rows, centres = rows.double(), self.centres.double()
        products = torch.addmm(centres.square().sum(1), rows, centres.T, alpha=-2)
        return products.add_(rows.square().sum(1, keepdim=True)).clamp_min_(0).float()

    def log_densities(self, squares: Tensor, log_variances: Tensor) -> Tensor:
        """Return log N(x | centre, σ²) for squared distances [B, N] and log σ², [N] or []."""
        dim = self.centres.shape[1]
        return squares * (-0.5 * torch.exp(-log_variances)) - dim / 2 * (log_variances + math.log(2 * math.pi))

    def negative_log_likelihood(self, rows: Tensor) -> Tensor:
        """Return -log p(x) / F of each row, float32 [M], on the CPU."""
        parts = [
            torch.logsumexp(self.log_densities(self.squares(part.to(self.device)), self.log_variances), 1)
            for part in rows.split(ROWS)
        ]
        log_likelihood = torch.cat(parts) - math.log(len(self.centres))
        return -log_likelihood.cpu() / self.centres.shape[1]

    def fit(self, rows: Tensor) -> None:
        """Fit the variances to rows [M, F] by Adam, as the authors' code does.

        During the fit, a Gaussian around the mean of the rows is added, so that no row has a density near 0. A
        variance starts at the best value for the centre's nearest row. The gradient is computed by its formula,

            ∂(-log p(x) / F) / ∂ log σ_j² = r_j (1 - ‖x - centre_j‖² / (F σ_j²)) / 2,

        where r_j is the posterior probability of Gaussian j, so that no [M, N] intermediate results are kept.
        """
        rows = rows.to(self.device)
        count, dim = self.centres.shape
        squares = torch.cat([self.squares(part) for part in rows.split(ROWS)])
        self.log_variances = ((squares.amin(0) + 1e-3) / dim).log()
        origin = torch.zeros((), device=self.device)
        origin_squares = ORIGIN_SCALE * (rows - rows.mean(0)).square().sum(1)
        optimizer = torch.optim.Adam([self.log_variances, origin], lr=LEARNING_RATE)
        for _ in range(STEPS):
            for near, far in zip(squares.split(BATCH), origin_squares.split(BATCH), strict=True):
                self.log_variances.grad, origin.grad = torch.zeros_like(self.log_variances), torch.zeros_like(origin)
                for some, away in zip(near.split(ROWS), far.split(ROWS), strict=True):
                    logs = self.log_densities(some, self.log_variances) - math.log(count)
                    own = self.log_densities(away, origin)
                    total = torch.logaddexp(torch.logsumexp(logs, 1), own)
                    posterior = logs.sub_(total[:, None]).exp_()
                    excess = 1 - some * (torch.exp(-self.log_variances) / dim)
                    self.log_variances.grad += (posterior * excess).sum(0) / (2 * len(near))
                    share = torch.exp(own - total) * (1 - away * (torch.exp(-origin) / dim))
                    origin.grad += share.sum() / (2 * len(near))
                optimizer.step()
                self.log_variances.clamp_(SMALLEST, LARGEST)
