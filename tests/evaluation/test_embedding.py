"""Features in two dimensions: principal components against NumPy, neighbours by t-SNE and UMAP, and the figures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.manifold import trustworthiness

from saddlepoint.data import DataModule
from saddlepoint.evaluation.base import Settings
from saddlepoint.evaluation.embedding import Embedding, draw, embed
from saddlepoint.evaluation.sets import set_judge
from saddlepoint.metrics.features import RandomFeatures
from saddlepoint.systems import GAN


def clusters() -> tuple[torch.Tensor, torch.Tensor]:
    """Return samples of two clusters, and real points of three, in 8 dimensions."""
    random = torch.Generator().manual_seed(0)
    centres = 10 * torch.eye(3, 8)
    samples, real = torch.arange(60) % 2, torch.arange(90) % 3
    return tuple(centres[one] + torch.randn(len(one), 8, generator=random) for one in (samples, real))  # type: ignore[return-value]


def test_pca_is_that_of_the_real_images() -> None:
    samples, real = clusters()
    found = embed("pca", samples, real, 0).numpy()
    centred = real.double().numpy() - real.double().numpy().mean(0)
    axes = np.linalg.svd(centred)[2][:2]
    expected = (torch.cat([samples, real]).double().numpy() - real.double().numpy().mean(0)) @ axes.T
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-3)


@pytest.mark.parametrize("kind", ["tsne", "umap"])
def test_neighbours_are_kept_and_the_method_is_seeded(kind: Embedding) -> None:
    if kind == "umap":
        pytest.importorskip("umap", reason="the extra umap is not installed")
    samples, real = clusters()
    found = embed(kind, samples, real, 3)
    assert found.shape == (150, 2)
    assert trustworthiness(torch.cat([samples, real]).numpy(), found.numpy()) > 0.9
    assert torch.equal(found, embed(kind, samples, real, 3))
    cluster = torch.cat([torch.arange(60) % 2, torch.arange(90) % 3])
    distances = torch.cdist(found, found).fill_diagonal_(torch.inf)
    assert (cluster[distances.argmin(1)] == cluster).all()
    assert embed(kind, samples[:2], real[:2], 0).isfinite().all()  # fewer points than the perplexity or neighbours


@pytest.mark.parametrize("kind", ["tsne", "pca"])
def test_the_figure_is_of_the_scored_samples(digits: DataModule, gan: GAN, kind: Embedding) -> None:
    judge = set_judge(RandomFeatures(), digits, Settings(n=100, metrics=["fid"]))
    assert judge.pictures(gan, judge.score(gan)) == {}
    judge.embedding = kind
    again = judge.at(4)
    pictures = again.pictures(gan, again.score(gan))
    assert set(pictures) == {kind}
    images = again.samples.images_at(gan, 4, True)(torch.arange(100))
    expected = draw(kind, again.evaluator.extractor, images, digits, 4)
    assert pictures[kind].tobytes() == expected.tobytes()
