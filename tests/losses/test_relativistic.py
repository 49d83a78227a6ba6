"""Relativistic losses against the paper's formulas, as loops over samples; gradients against finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from saddlepoint.losses import NonSaturating, Relativistic, RelativisticAverage
from saddlepoint.losses.relativistic import Kind
from saddlepoint.types import CriticOutput

RNG = np.random.default_rng(0)
REAL, FAKE = RNG.normal(0, 2, 7), RNG.normal(0.5, 2, 7)
KINDS: tuple[Kind, ...] = ("bce", "ls", "hinge")


def output(logits: np.ndarray | torch.Tensor) -> CriticOutput:
    tensor = torch.as_tensor(logits)
    return CriticOutput(tensor, torch.zeros(len(tensor), 1))


def sigmoid(t: float) -> float:
    return 1 / (1 + math.exp(-t))


def paired(kind: Kind, better: np.ndarray, worse: np.ndarray) -> float:
    """Return the discriminator loss of RSGAN, RLSGAN or RHingeGAN, by a loop over pairs."""
    one = {
        "bce": lambda a, b: -math.log(sigmoid(a - b)),
        "ls": lambda a, b: (a - b - 1) ** 2,
        "hinge": lambda a, b: max(0.0, 1 - (a - b)),
    }[kind]
    return sum(one(a, b) for a, b in zip(better, worse, strict=True)) / len(better)


def averaged(kind: Kind, better: np.ndarray, worse: np.ndarray) -> float:
    """Return the discriminator loss of RaSGAN, RaLSGAN or RaHingeGAN as in the paper, with D̃ = σ(C - E C)."""
    above, below = sum(better) / len(better), sum(worse) / len(worse)
    first = {
        "bce": lambda c: -math.log(sigmoid(c - below)),
        "ls": lambda c: (c - below - 1) ** 2,
        "hinge": lambda c: max(0.0, 1 - (c - below)),
    }[kind]
    second = {
        "bce": lambda c: -math.log(1 - sigmoid(c - above)),
        "ls": lambda c: (c - above + 1) ** 2,
        "hinge": lambda c: max(0.0, 1 + (c - above)),
    }[kind]
    return sum(map(first, better)) / len(better) + sum(map(second, worse)) / len(worse)


def differences(f: Callable[[np.ndarray], float], x: np.ndarray, step: float = 1e-6) -> np.ndarray:
    gradient = np.empty_like(x)
    for i in range(len(x)):
        up, down = x.copy(), x.copy()
        up[i] += step
        down[i] -= step
        gradient[i] = (f(up) - f(down)) / (2 * step)
    return gradient


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("loss", "formula"), [(Relativistic, paired), (RelativisticAverage, averaged)])
def test_values_and_gradients_of_both_players(
    loss: type[Relativistic] | type[RelativisticAverage], formula: Callable[..., float], kind: Kind
) -> None:
    for player in ("discriminator", "generator"):
        real, fake = (torch.tensor(x, requires_grad=True) for x in (REAL, FAKE))
        if player == "discriminator":
            result = loss(kind).discriminator(output(real), output(fake))

            def value(r: np.ndarray, f: np.ndarray) -> float:
                return formula(kind, r, f)
        else:  # real and generated samples are swapped
            result = loss(kind).generator(output(fake), output(real))

            def value(r: np.ndarray, f: np.ndarray) -> float:
                return formula(kind, f, r)

        result.backward()
        np.testing.assert_allclose(result.item(), value(REAL, FAKE), rtol=1e-12)
        np.testing.assert_allclose(real.grad, differences(lambda r, v=value: v(r, FAKE), REAL), atol=1e-8)
        np.testing.assert_allclose(fake.grad, differences(lambda f, v=value: v(REAL, f), FAKE), atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_added_to_all_scores_changes_nothing(kind: Kind) -> None:
    """The losses depend only on differences of scores (section 3 of the paper)."""
    for loss in (Relativistic(kind), RelativisticAverage(kind)):
        before = loss.discriminator(output(REAL), output(FAKE))
        after = loss.discriminator(output(REAL + 3.7), output(FAKE + 3.7))
        np.testing.assert_allclose(before.item(), after.item(), rtol=1e-12)


def test_relativistic_pairing_on_a_dirac_gan_against_the_closed_form() -> None:
    """For a real sample 0, a generated sample θ and D(x) = ψx: softplus(ψθ) and softplus(-ψθ) (Huang et al. 2024)."""
    psi, theta = 1.3, 0.4
    real, fake = output(np.array([0.0])), output(np.array([psi * theta]))
    np.testing.assert_allclose(Relativistic().discriminator(real, fake), np.log1p(np.exp(psi * theta)), rtol=1e-12)
    np.testing.assert_allclose(Relativistic().generator(fake, real), np.log1p(np.exp(-psi * theta)), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_losses_average_over_patches(kind: Kind) -> None:
    real, fake = RNG.normal(size=(4, 1, 2, 3)), RNG.normal(size=(4, 1, 2, 3))
    np.testing.assert_allclose(
        Relativistic(kind).discriminator(output(real), output(fake)), paired(kind, real.ravel(), fake.ravel())
    )
    np.testing.assert_allclose(
        RelativisticAverage(kind).generator(output(fake), output(real)), averaged(kind, fake.ravel(), real.ravel())
    )


def test_surplus_samples_are_not_paired_but_averaged() -> None:
    more = np.concatenate([FAKE, [5.0, -2.0]])
    assert Relativistic().discriminator(output(REAL), output(more)).item() == pytest.approx(paired("bce", REAL, FAKE))
    assert Relativistic().generator(output(more), output(REAL)).item() == pytest.approx(paired("bce", FAKE, REAL))
    average = RelativisticAverage().discriminator(output(REAL), output(more))
    assert average.item() == pytest.approx(averaged("bce", REAL, more), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32_and_stays_finite(dtype: torch.dtype) -> None:
    real, fake = torch.tensor([1e4, -1e4], dtype=dtype), torch.tensor([-1e4, 1e4], dtype=dtype)
    for loss in (Relativistic(), RelativisticAverage()):
        value = loss.discriminator(output(real), output(fake))
        assert value.dtype == torch.float32
        assert value.isfinite()


def test_attributes() -> None:
    assert Relativistic.needs_real_in_generator
    assert RelativisticAverage.needs_real_in_generator
    assert not Relativistic.batch_coupled  # pairs are independent
    assert RelativisticAverage.batch_coupled


def test_logistic_config_is_the_nonsaturating_loss() -> None:
    """StyleGAN2's losses are softplus(-D(x)) + softplus(D(G(z))) and softplus(-D(G(z)))."""
    real, fake, loss = output(REAL), output(FAKE), NonSaturating()
    expected = np.log1p(np.exp(-REAL)).mean() + np.log1p(np.exp(FAKE)).mean()
    np.testing.assert_allclose(loss.discriminator(real, fake), expected, rtol=1e-12)
    np.testing.assert_allclose(loss.generator(fake), np.log1p(np.exp(-FAKE)).mean(), rtol=1e-12)
