"""Projection of images to styles, with a linear generator."""

import math

import pytest
import torch

from saddlepoint.systems import projection


def test_the_rate_rises_linearly_and_falls_along_a_cosine() -> None:
    assert [projection.rate(t) for t in (0, 0.025, 0.05, 0.5, 0.75)] == pytest.approx([0, 0.05, 0.1, 0.1, 0.1])
    assert projection.rate(0.875) == pytest.approx(0.05)
    assert projection.rate(0.9) == pytest.approx(0.05 * (1 - math.cos(0.4 * math.pi)))
    assert projection.rate(1) == 0


def test_styles_of_a_linear_generator_are_found() -> None:
    torch.manual_seed(0)
    weight, features = torch.randn(5, 48), torch.randn(48, 6)
    wanted, known = torch.randn(4, 5), torch.randn(100, 5)
    images = (wanted @ weight).view(4, 3, 4, 4)

    def project(images: torch.Tensor, seed: int = 0) -> torch.Tensor:
        return projection.by_gradient(
            lambda w: (w @ weight).view(-1, 3, 4, 4), lambda x: x.flatten(1) @ features, images, known, seed
        )

    found = project(images)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0.02)
    torch.testing.assert_close(project(images[2:3]), found[2:3], rtol=1e-4, atol=1e-4)  # of each image by itself
    assert torch.equal(project(images), found)
