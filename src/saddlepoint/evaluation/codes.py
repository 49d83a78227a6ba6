"""The judge that compares codes with the prior that they are trained to follow."""

from __future__ import annotations

import time

import torch

from saddlepoint.evaluation.base import HeldOutJudge
from saddlepoint.losses.kernels import Kernel, squared_distances, unbiased_mmd2
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.systems.capabilities import HasCodePrior
from saddlepoint.systems.game import Game

NAME = "code_energy_distance"
MOST = 2000
"""Maximum number of codes, since time and memory are quadratic in it."""


class PriorJudge(HeldOutJudge):
    """``code_energy_distance``: the energy distance of the codes of held-out samples and of draws of their prior.

    2 E‖c - p‖ - E‖c - c'‖ - E‖p - p'‖ for codes c and draws p (Székely & Rizzo 2013, "Energy statistics",
    doi:10.1016/j.jspi.2013.03.018), estimated without bias from at most 2,000 of each, so that it can be negative. It
    is 0 if and only if the distributions are equal. The card's interval is plus and minus one standard error over the
    codes, and its ``real`` is the distance of two sets of draws of the prior. ``mean_norm`` is the norm of the codes'
    mean, and ``std`` the root mean square deviation from it per dimension; ``prior_std`` is that of the prior.
    """

    names = (NAME,)

    def score(self, system: Game) -> list[ScoreCard]:
        """Return the card."""
        assert isinstance(system, HasCodePrior)
        begin, n, seed = time.perf_counter(), min(self.n, MOST), self.settings.seed
        batches = (batch.samples.to(system.device) for batch in self.batches(n=n))
        codes = torch.cat([system.encode(samples, self.settings.ema).flatten(1).cpu() for samples in batches]).double()
        prior, other = system.prior_codes(2 * n, seed).double().chunk(2)
        beside = {
            "mean_norm": float(codes.mean(0).norm()),
            "std": float(codes.var(0, correction=0).mean().sqrt()),
            "prior_std": float(prior.var(0, correction=0).mean().sqrt()),
        }
        kernel = Kernel("distance")
        value, real = (2 * float(unbiased_mmd2(kernel, rows, prior)) for rows in (codes, other))
        # Each code's contribution to the distance, up to constants
        influence = 2 * (
            squared_distances(codes, prior).sqrt().mean(1) - squared_distances(codes, codes).sqrt().mean(1)
        )
        error = float(influence.std(correction=0)) / n**0.5
        seconds = time.perf_counter() - begin
        about = {"value": value, "interval": (value - error, value + error), "real": real, "real_n": n}
        return [self.card(system, NAME, influence, seconds, features="codes", beside=beside, **about)]
