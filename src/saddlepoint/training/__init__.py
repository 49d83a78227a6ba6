"""Training: the plan of a run, what it records about itself, and the run."""

from saddlepoint.training.plan import Launch
from saddlepoint.training.run import Run, train

__all__ = ["Launch", "Run", "train"]
