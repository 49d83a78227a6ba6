"""Saddlepoint: train, measure and compare generative adversarial networks.

The names in ``__all__`` are imported from :mod:`saddlepoint.api` on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Run", "RunError", "ScoreCard", "UserError", "__version__", "evaluate", "load", "train"]

if TYPE_CHECKING:
    from saddlepoint.api import Run, RunError, ScoreCard, UserError, evaluate, load, train


def __getattr__(name: str) -> Any:
    """Import the API lazily, so that ``import saddlepoint`` does not import torch."""
    if name in __all__:
        from saddlepoint import api

        return getattr(api, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
