"""Plots of the features of samples and of real images in two dimensions."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

import numpy as np
import torch
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import Tensor

from saddlepoint import randomness
from saddlepoint.errors import UserError
from saddlepoint.metrics.features import FeatureExtractor
from saddlepoint.metrics.rows import RealData, selected_batches
from saddlepoint.tracking.diagnostics import scatter_of_two
from saddlepoint.types import Split

Embedding = Literal["tsne", "umap", "pca"]
MOST = 1_000
"""Largest number of samples, and of real images, in a plot."""
PERPLEXITY = 30.0
"""Of t-SNE; for few points, a third of their number."""
NEIGHBOURS = 15
"""Of UMAP; for few points, all others."""


def check(kind: Embedding | None) -> None:
    """Check that the method is installed.

    Raises:
        UserError: it is not.
    """
    if kind == "umap" and find_spec("umap") is None:
        raise UserError(
            "umap-learn is not installed", "embedding", "pip install 'saddlepoint[umap]', or choose tsne or pca"
        )


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
    name = {"tsne": "t-SNE", "umap": "UMAP", "pca": "principal components of real images"}[kind]
    return scatter_of_two(points[: len(own)], points[len(own) :], f"{name} of features={extractor.name}")


def embed(kind: Embedding, samples: Tensor, real: Tensor, seed: int) -> Tensor:
    """Return the positions of samples and of real images in the plane, float32 [N + M, 2].

    ``tsne`` (van der Maaten and Hinton 2008) and ``umap`` (McInnes et al. 2018, arXiv:1802.03426) keep neighbours
    together; distances between groups mean little. ``pca`` projects on the first two principal components of the real
    images.

    Args:
        kind: the method.
        samples: features [N, F].
        real: features [M, F].
        seed: of t-SNE and UMAP.
    """
    rows = torch.cat([samples, real]).numpy()
    if kind == "pca":
        found = PCA(2, svd_solver="full").fit(real.numpy()).transform(rows)
    elif kind == "umap":
        from umap import UMAP  # of an extra; compiles for seconds

        neighbours = min(NEIGHBOURS, len(rows) - 1)
        state = randomness.key(seed, "UMAP") % 2**32
        found = UMAP(neighbours, init="pca", random_state=state, n_jobs=1).fit_transform(rows)
    else:
        perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
        state = randomness.key(seed, "t-SNE") % 2**32
        found = TSNE(2, perplexity=perplexity, init="pca", random_state=state).fit_transform(rows)
    return torch.from_numpy(np.asarray(found, dtype=np.float32))
