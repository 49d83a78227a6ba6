"""Completion by search and by reconstruction, and Poisson blending, against dense solutions and known answers."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from saddlepoint.losses import EBGAN, MMD, NonSaturating
from saddlepoint.networks import AutoencoderDiscriminator, DCGANDiscriminator, DCGANGenerator
from saddlepoint.systems import GAN
from saddlepoint.systems.completion import blended, by_reconstruction, by_search
from saddlepoint.systems.sampling import evaluating


def mask_of(*missing: tuple[int, int], size: int = 5) -> Tensor:
    known = torch.ones(1, 1, size, size, dtype=torch.bool)
    for row, column in missing:
        known[0, 0, row, column] = False
    return known


BLOCK = list(itertools.product((1, 2), (1, 2)))
CORNER = [(0, 0), (0, 1), (1, 0)]


@pytest.mark.parametrize("missing", [BLOCK, CORNER, [(2, 2)]])
def test_blending_solves_the_poisson_equation(missing: list[tuple[int, int]]) -> None:
    torch.manual_seed(0)
    known = mask_of(*missing)
    g, y = (torch.rand(2, 3, 5, 5, dtype=torch.float64) * 0.2 for _ in range(2))
    x = blended(g, y, known)
    assert torch.equal(x[known.expand_as(x)], y[known.expand_as(y)])
    for row, column in missing:
        near = [(row + a, column + b) for a, b in ((-1, 0), (1, 0), (0, -1), (0, 1))]
        near = [(r, c) for r, c in near if 0 <= r < 5 and 0 <= c < 5]
        ours, theirs = (sum(of[:, :, row, column] - of[:, :, r, c] for r, c in near) for of in (x, g))
        torch.testing.assert_close(ours, theirs)


def test_blending_removes_a_constant_difference() -> None:
    y = torch.rand(1, 1, 5, 5, dtype=torch.float64) * 0.5
    torch.testing.assert_close(blended(y + 0.3, y, mask_of(*BLOCK)), y)


def test_each_image_can_have_its_own_mask() -> None:
    torch.manual_seed(0)
    g, y = torch.rand(2, 1, 5, 5) * 0.5, torch.rand(2, 1, 5, 5) * 0.5
    masks = [mask_of(*BLOCK), mask_of(*CORNER)]
    each = [blended(g[i : i + 1], y[i : i + 1], mask) for i, mask in enumerate(masks)]
    torch.testing.assert_close(blended(g, y, torch.cat(masks)), torch.cat(each))


def test_everything_or_nothing_missing() -> None:
    g, y = torch.rand(1, 1, 5, 5), torch.rand(1, 1, 5, 5)
    none = torch.zeros(1, 1, 5, 5, dtype=torch.bool)
    assert torch.equal(blended(g, y, none), g)
    assert torch.equal(blended(g, y, ~none), y)


def test_a_search_finds_the_image_that_was_hidden() -> None:
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.randn(64, 3))[0].T * 2
    true = torch.tensor([[0.5, -0.3, 0.2], [-0.6, 0.1, 0.4]])
    images = (true @ basis).view(2, 1, 8, 8)
    known = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    known[:, :, 4:] = False

    def generate(z: Tensor) -> Tensor:
        return (z @ basis).view(-1, 1, 8, 8)

    occluded = torch.where(known, images, torch.zeros(()))
    found = by_search(generate, lambda x: x.flatten(1).sum(1) * 0, occluded, known, torch.zeros(2, 3), 1.0, steps=300)
    assert torch.equal(found[:, :, :4], images[:, :, :4])
    assert (found - images).abs().mean() < 0.1 * (occluded - images).abs().mean()


def test_a_search_minimises_the_objective_of_the_paper() -> None:
    """One step of Adam with rate 0.01 moves each latent by 0.01 against the sign of its gradient."""
    torch.manual_seed(0)
    mixing, critic = torch.randn(2, 49, dtype=torch.float64), torch.randn(49, dtype=torch.float64)
    y, known = torch.zeros(1, 1, 7, 7, dtype=torch.float64), mask_of((3, 3), (0, 0), size=7)
    z = torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    seen: list[Tensor] = []

    def generate(latents: Tensor) -> Tensor:
        seen.append(latents.detach().clone())
        return (latents @ mixing).view(-1, 1, 7, 7)

    by_search(generate, lambda x: x.flatten(1) @ critic, y, known, z, limit=None, steps=1)

    def objective(latents: np.ndarray) -> float:
        x = (latents @ mixing.numpy()).reshape(7, 7)
        total = 0.0
        for r, c in itertools.product(range(7), range(7)):
            if known[0, 0, r, c]:
                near = [(a, b) for a in range(r - 3, r + 4) for b in range(c - 3, c + 4) if 0 <= a < 7 and 0 <= b < 7]
                total += sum(not known[0, 0, a, b] for a, b in near) / len(near) * abs(x[r, c])
        logit = x.ravel() @ critic.numpy()
        return total + 0.003 * np.log(1 / (1 + np.exp(logit)))

    start, step = z[0].numpy(), 1e-6
    slope = [objective(start + step * unit) - objective(start - step * unit) for unit in np.eye(2)]
    np.testing.assert_allclose(seen[1][0].numpy(), start - 0.01 * np.sign(slope), atol=1e-6)


def test_latents_stay_within_the_prior() -> None:
    seen = []

    def generate(z: Tensor) -> Tensor:
        seen.append(z.detach().abs().max().item())
        return z.view(-1, 1, 2, 2)

    known = torch.tensor([[True, False], [True, True]]).view(1, 1, 2, 2)
    by_search(
        generate,
        lambda x: x.flatten(1).sum(1),
        torch.full((1, 1, 2, 2), 5.0),
        known,
        torch.ones(1, 4) * 0.99,
        1.0,
        steps=20,
    )
    assert max(seen) == 1.0


def test_reconstructions_are_repeated_with_the_known_pixels_put_back() -> None:
    torch.manual_seed(0)
    images, known = torch.rand(2, 1, 5, 5), mask_of(*BLOCK)
    rounds = []

    def reconstruct(x: Tensor) -> Tensor:
        rounds.append(x.clone())
        return (x + 1) / 2

    found = by_reconstruction(reconstruct, images, known, rounds=3)
    assert torch.equal(found[known.expand_as(found)], images[known.expand_as(images)])
    assert [x[0, 0, 1, 1].item() for x in rounds] == [0, 0.5, 0.75]
    assert found[0, 0, 1, 1] == 0.875


def test_energies_are_low_for_real_samples_and_untrained_logits_are_not_used() -> None:
    shape, sgd = (1, 8, 8), partial(torch.optim.SGD, lr=0.1)
    x = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for network, loss, sign in (
        (DCGANDiscriminator(shape, 4, norm="none"), NonSaturating(), 1),
        (AutoencoderDiscriminator(shape, 4), EBGAN(), -1),
        (DCGANDiscriminator(shape, 4, norm="none"), MMD(), 0),
    ):
        networks: dict[str, nn.Module] = {"generator": DCGANGenerator(shape, 6, 4), "discriminator": network}
        system = GAN(networks, loss, latent_dim=6, optimizers=dict.fromkeys(networks, sgd))
        with evaluating(network):
            torch.testing.assert_close(system.realism(x, None), sign * network(x, None).logits)
