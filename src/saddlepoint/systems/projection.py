"""Projection of images to styles.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", arXiv:1912.04958, appendix D.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from saddlepoint import randomness

STEPS = 500
"""Number of steps of Adam; the paper has 1000."""
RATE = 0.1
"""Largest learning rate."""
NOISE = 0.05
"""Initial deviation of the noise that is added to styles, in deviations of styles."""


def rate(t: float) -> float:
    """Return the learning rate at t in [0, 1]: it rises over the first 5 % and falls along a cosine from 75 % on."""
    fall = min(1.0, (1 - t) / 0.25)
    return RATE * (0.5 - 0.5 * math.cos(math.pi * fall)) * min(1.0, t / 0.05)


def by_gradient(
    synthesise: Callable[[Tensor], Tensor],
    describe: Callable[[Tensor], Tensor],
    images: Tensor,
    styles: Tensor,
    seed: int,
    steps: int = STEPS,
) -> Tensor:
    """Return styles whose images are close to given ones, in pixels and in features.

    The distance is the mean squared difference of pixels plus that of features, relative to the features' mean square.
    The paper has the distance of VGG's features (LPIPS) instead, and also fits the noise of the layers.

    Args:
        synthesise: from styles [N, W] to images.
        describe: from images to features [N, F].
        images: [N, C, H, W].
        styles: styles [M, W] of random latents; the search begins at their mean.
        seed: seed of the noise.
        steps: number of steps.

    Returns:
        [N, W].
    """
    mean = styles.mean(0)
    deviation = (styles - mean).square().sum(1).mean().sqrt()
    w = mean.repeat(len(images), 1).requires_grad_()
    with torch.no_grad():
        target = describe(images)
        scale = target.square().mean(1)
    optimizer = torch.optim.Adam([w], lr=RATE)
    random = randomness.generator("cpu", seed, "projection")
    with torch.enable_grad():
        for step in range(steps):
            t = step / steps
            spread = deviation * NOISE * max(0.0, 1 - t / 0.75) ** 2
            found = synthesise(w + spread * torch.randn(w.shape[1], generator=random).to(w))
            pixels = (found - images).square().flatten(1).mean(1)
            features = (describe(found) - target).square().mean(1) / scale
            (w.grad,) = torch.autograd.grad((pixels + features).sum(), w)
            optimizer.param_groups[0]["lr"] = rate(t)
            optimizer.step()
    return w.detach()
