"""Completion of images with missing pixels, by models that are not autoregressive.

Yeh et al. 2017, "Semantic Image Inpainting with Deep Generative Models", arXiv:1607.07539: by a search in the latents.
Rezende et al. 2014, "Stochastic Backpropagation and Approximate Inference in Deep Generative Models", arXiv:1401.4082,
appendix F: by repeated reconstruction, for models with an encoder; here with the means of the codes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy import sparse
from scipy.sparse import linalg
from torch import Tensor
from torch.nn.functional import avg_pool2d, logsigmoid

STEPS = 1500
"""Number of steps of Adam, as in the paper."""
RATE = 0.01
"""Learning rate of the latents; the paper does not state it."""
PRIOR_WEIGHT = 0.003
"""λ, the weight of the critic's term (section 3.3)."""
WINDOW = 7
"""Side of the window N(i) in which the missing pixels around a known one are counted (section 4)."""
ROUNDS = 20
"""Number of reconstructions."""


def by_search(
    generate: Callable[[Tensor], Tensor],
    score: Callable[[Tensor], Tensor],
    images: Tensor,
    known: Tensor,
    latents: Tensor,
    limit: float | None,
    steps: int = STEPS,
) -> Tensor:
    """Return completions by the samples that are closest to the images where these are known (equations 2 to 6).

    z is moved to the minimum of ‖W ⊙ (G(z) - y)‖₁ + λ log(1 - D(G(z))), where W_i is the share of missing pixels around
    a known pixel i. The missing pixels of G(z) are then blended with the known ones; see :func:`blended`.

    Args:
        generate: G, from latents [N, Z] to images [N, C, H, W], differentiable.
        score: from images to the critic's logits of log D / (1 - D), [N, ...].
        images: y, [N, C, H, W] in [-1, 1].
        known: bool [1 or N, 1, H, W].
        latents: where the search begins, [N, Z].
        limit: the latents are kept in ±limit, if it is not None.
        steps: number of steps.

    Returns:
        [N, C, H, W] in [-1, 1], equal to ``images`` where they are known.
    """
    missing = (~known).to(images.dtype)
    weight = known * avg_pool2d(missing, WINDOW, 1, WINDOW // 2, count_include_pad=False)
    z = latents.clone().requires_grad_()
    optimizer = torch.optim.Adam([z], lr=RATE)
    with torch.enable_grad():
        for _ in range(steps):
            found = generate(z)
            contextual = (weight * (found - images)).abs().sum()
            prior = logsigmoid(-score(found)).sum()
            (z.grad,) = torch.autograd.grad(contextual + PRIOR_WEIGHT * prior, z)
            optimizer.step()
            if limit is not None:
                z.data.clamp_(-limit, limit)
    with torch.no_grad():
        return blended(generate(z), images, known)


def by_reconstruction(
    reconstruct: Callable[[Tensor], Tensor], images: Tensor, known: Tensor, rounds: int = ROUNDS
) -> Tensor:
    """Return completions by repeated reconstruction, in which the known pixels are put back each time.

    Args:
        reconstruct: from images to their reconstructions, [N, C, H, W].
        images: [N, C, H, W] in [-1, 1].
        known: bool [1 or N, 1, H, W].
        rounds: number of reconstructions.

    Returns:
        [N, C, H, W] in [-1, 1], equal to ``images`` where they are known.
    """
    found = torch.where(known, images, torch.zeros_like(images))
    for _ in range(rounds):
        found = torch.where(known, images, reconstruct(found).to(images.dtype))
    return found.clamp(-1, 1)


def blended(generated: Tensor, images: Tensor, known: Tensor) -> Tensor:
    """Return images whose missing pixels have the gradients of the generated ones (Poisson blending, section 3.4).

    For each missing pixel i, Σ_j (x_i - x_j) = Σ_j (g_i - g_j) over its neighbours j above, below, left and right, with
    x = ``images`` where they are known. Without any known pixel, the generated images are returned.

    Args:
        generated: [N, C, H, W].
        images: [N, C, H, W] in [-1, 1].
        known: bool [1 or N, 1, H, W].

    Returns:
        [N, C, H, W] in [-1, 1].
    """
    result = torch.where(known, images, generated)
    for row, mask in enumerate(known[:, 0]):
        if mask.all() or not mask.any():
            continue
        rows = slice(None) if len(known) == 1 else slice(row, row + 1)
        laplacian, missing = _laplacian(mask.cpu().numpy())
        g = generated[rows].flatten(2).flatten(0, 1).double().cpu().numpy().T  # [pixels, images · channels]
        y = images[rows].flatten(2).flatten(0, 1).double().cpu().numpy().T
        right = laplacian @ g - laplacian[:, ~missing] @ y[~missing]
        solved = linalg.splu(laplacian[:, missing].tocsc()).solve(right)
        whole = np.where(missing[:, None], 0.0, y)
        whole[missing] = solved
        result[rows] = torch.from_numpy(whole.T.copy()).to(result).view_as(result[rows])
    return result.clamp(-1, 1)


def _laplacian(known: np.ndarray) -> tuple[sparse.csr_array, np.ndarray]:
    """Return the rows of the graph Laplacian of the pixel grid for missing pixels, and which pixels are missing."""
    height, width = known.shape
    lines = [sparse.diags_array([1.0, 1.0], offsets=[-1, 1], shape=(size, size)) for size in (height, width)]
    neighbours = sparse.kron(lines[0], sparse.eye_array(width)) + sparse.kron(sparse.eye_array(height), lines[1])
    laplacian = sparse.csr_array(sparse.diags_array(neighbours.sum(1)) - neighbours)
    missing = ~known.ravel()
    return laplacian[missing], missing
