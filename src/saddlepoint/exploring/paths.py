"""Paths between latents."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Path = Literal["slerp", "lerp"]


def lerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """Return points on the lines from ``start`` to ``end``, both [N, Z], at positions t, [N], in [0, 1]."""
    return start + t.unsqueeze(-1) * (end - start)


def slerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """Return points on great arcs from ``start`` to ``end``, both [N, Z], at positions t, [N], in [0, 1].

    sin((1 - t)ω) / sin ω · start + sin(tω) / sin ω · end, with the angle ω between them (White 2016, "Sampling
    Generative Networks", arXiv:1609.04468, section 2.1). Unlike those of a line, the points have norms that are typical
    of normal latents. Parallel vectors are interpolated linearly.
    """
    cosine = torch.nn.functional.cosine_similarity(start.double(), end.double(), dim=-1)
    angle = cosine.clamp(-1, 1).acos()
    t = t.double()
    parallel = angle.sin() < 1e-6
    scale = torch.where(parallel, 1.0, angle.sin())
    first = torch.where(parallel, 1 - t, ((1 - t) * angle).sin() / scale)
    second = torch.where(parallel, t, (t * angle).sin() / scale)
    return (first.unsqueeze(-1) * start + second.unsqueeze(-1) * end).to(start.dtype)


def loop(anchors: Tensor, steps: int, path: Path) -> Tensor:
    """Return a closed path through anchors.

    Args:
        anchors: [K, Z].
        steps: number of points from each anchor, which is the first of them, towards the next.
        path: ``slerp`` or ``lerp``.

    Returns:
        [K · steps, Z].
    """
    start, end = (one.repeat_interleave(steps, 0) for one in (anchors, anchors.roll(-1, 0)))
    t = (torch.arange(steps, dtype=anchors.dtype, device=anchors.device) / steps).repeat(len(anchors))
    return slerp(start, end, t) if path == "slerp" else lerp(start, end, t)
