"""Adversarial objectives: pure functions of critic outputs, one class a file."""

from saddlepoint.losses.base import AdversarialLoss
from saddlepoint.losses.hinge import Hinge
from saddlepoint.losses.leastsquares import LeastSquares
from saddlepoint.losses.minimax import Minimax
from saddlepoint.losses.nonsaturating import NonSaturating
from saddlepoint.losses.wasserstein import Wasserstein

__all__ = ["AdversarialLoss", "Hinge", "LeastSquares", "Minimax", "NonSaturating", "Wasserstein"]
