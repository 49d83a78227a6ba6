"""Plots of the features of samples and of real images in two dimensions."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import Tensor

from saddlepoint import randomness
from saddlepoint.metrics.features import FeatureExtractor
from saddlepoint.metrics.rows import RealData, selected_batches
from saddlepoint.tracking.diagnostics import scatter_of_two
from saddlepoint.types import Split

Embedding = Literal["tsne", "pca"]
MOST = 1_000
"""Largest number of samples, and of real images, in a plot."""
PERPLEXITY = 30.0
"""Of t-SNE; for few points, a third of their number."""


def draw(kind: Embedding, extractor: FeatureExtractor, samples: Tensor, real: RealData, seed: int) -> Image.Image:
    """Plot samples and held-out images (training images if there are none), at most 1,000 of each.

    Args:
        kind: the method.
        extractor: prepared.
        samples: uint8 [N, C, H, W].
        real: the data set.
        seed: of the choice of real images and of the method.
    """
    split: Split = "held_out" if real.info.sizes["held_out"] > 1 else "train"
    chosen = [extractor(images[rows]).pool.cpu() for images, _, rows in selected_batches(real, split, MOST, seed)]
    own, theirs = extractor(samples[:MOST]).pool.cpu(), torch.cat(chosen)
    points = embed(kind, own, theirs, seed)
    name = {"tsne": "t-SNE", "pca": "principal components of real images"}[kind]
    return scatter_of_two(points[: len(own)], points[len(own) :], f"{name} of features={extractor.name}")


def embed(kind: Embedding, samples: Tensor, real: Tensor, seed: int) -> Tensor:
    """Return the positions of samples and of real images in the plane, float32 [N + M, 2].

    ``tsne`` (van der Maaten and Hinton 2008) keeps neighbours together; distances between groups mean little. ``pca``
    projects on the first two principal components of the real images.

    Args:
        kind: the method.
        samples: features [N, F].
        real: features [M, F].
        seed: of t-SNE.
    """
    rows = torch.cat([samples, real]).numpy()
    if kind == "pca":
        found = PCA(2, svd_solver="full").fit(real.numpy()).transform(rows)
    else:
        perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
        state = randomness.key(seed, "t-SNE") % 2**32
        found = TSNE(2, perplexity=perplexity, init="pca", random_state=state).fit_transform(rows)
    return torch.from_numpy(np.asarray(found, dtype=np.float32))
