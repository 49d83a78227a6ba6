"""Values and gradients of losses against their formulas, in NumPy in float64."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch

import saddlepoint.losses
import saddlepoint.losses.kernels
from saddlepoint.losses import AdversarialLoss, Hinge, LeastSquares, Minimax, NonSaturating, TopK, Wasserstein
from saddlepoint.types import CriticOutput

RNG = np.random.default_rng(0)
REAL = np.concatenate([RNG.normal(0, 3, 30), [0.3, -60.0, 60.0, 1e4, -1e4]])
FAKE = np.concatenate([RNG.normal(0, 3, 24), [-0.7, -60.0, 60.0, 1e4, -1e4]])  # fewer than real samples


def sigmoid(t: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-t))


def log_sigmoid(t: np.ndarray) -> np.ndarray:
    return -np.logaddexp(0, -t)


def output(logits: np.ndarray | torch.Tensor) -> CriticOutput:
    tensor = torch.as_tensor(logits)
    return CriticOutput(tensor, torch.zeros(len(tensor), 1))


# name → loss, D's value(real, fake), dD/dreal, dD/dfake, G's value(fake), dG/dfake; gradients per sample, times N.
SMOOTH, A, B, C = 0.1, -1.0, 1.0, 0.0
FORMULAS = {
    "minimax": (
        Minimax(),
        lambda r, f: -log_sigmoid(r).mean() - log_sigmoid(-f).mean(),
        lambda r: -sigmoid(-r),
        lambda f: sigmoid(f),
        lambda f: log_sigmoid(-f).mean(),
        lambda f: -sigmoid(f),
    ),
    "nonsaturating": (
        NonSaturating(),
        lambda r, f: -log_sigmoid(r).mean() - log_sigmoid(-f).mean(),
        lambda r: -sigmoid(-r),
        lambda f: sigmoid(f),
        lambda f: -log_sigmoid(f).mean(),
        lambda f: -sigmoid(-f),
    ),
    "smoothed": (
        NonSaturating(label_smoothing=SMOOTH),
        lambda r, f: (-(1 - SMOOTH) * log_sigmoid(r) - SMOOTH * log_sigmoid(-r)).mean() - log_sigmoid(-f).mean(),
        lambda r: sigmoid(r) - (1 - SMOOTH),
        lambda f: sigmoid(f),
        lambda f: -log_sigmoid(f).mean(),
        lambda f: -sigmoid(-f),
    ),
    "leastsquares": (
        LeastSquares(A, B, C),
        lambda r, f: ((r - B) ** 2).mean() / 2 + ((f - A) ** 2).mean() / 2,
        lambda r: r - B,
        lambda f: f - A,
        lambda f: ((f - C) ** 2).mean() / 2,
        lambda f: f - C,
    ),
    "wasserstein": (
        Wasserstein(),
        lambda r, f: f.mean() - r.mean(),
        lambda r: -np.ones_like(r),
        lambda f: np.ones_like(f),
        lambda f: -f.mean(),
        lambda f: -np.ones_like(f),
    ),
    "hinge": (
        Hinge(),
        lambda r, f: np.maximum(0, 1 - r).mean() + np.maximum(0, 1 + f).mean(),
        lambda r: np.where(r < 1, -1.0, 0.0),
        lambda f: np.where(f > -1, 1.0, 0.0),
        lambda f: -f.mean(),
        lambda f: -np.ones_like(f),
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_discriminator_value_and_gradient(name: str) -> None:
    loss, value, wrt_real, wrt_fake, _, _ = FORMULAS[name]
    real, fake = (torch.tensor(x, requires_grad=True) for x in (REAL, FAKE))
    result = loss.discriminator(output(real), output(fake))
    result.backward()
    assert result.shape == ()
    np.testing.assert_allclose(result.item(), value(REAL, FAKE), rtol=1e-12)
    np.testing.assert_allclose(real.grad * len(REAL), wrt_real(REAL), rtol=1e-10, atol=1e-300)
    np.testing.assert_allclose(fake.grad * len(FAKE), wrt_fake(FAKE), rtol=1e-10, atol=1e-300)


@pytest.mark.parametrize("name", FORMULAS)
def test_generator_value_and_gradient(name: str) -> None:
    loss, _, _, _, value, wrt_fake = FORMULAS[name]
    fake = torch.tensor(FAKE, requires_grad=True)
    result = loss.generator(output(fake))
    result.backward()
    np.testing.assert_allclose(result.item(), value(FAKE), rtol=1e-12)
    np.testing.assert_allclose(fake.grad * len(FAKE), wrt_fake(FAKE), rtol=1e-10, atol=1e-300)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_extreme_logits_stay_finite_in_float32(name: str, dtype: torch.dtype) -> None:
    loss, value, _, _, generator_value, _ = FORMULAS[name]
    real, fake = torch.tensor([1e4, -1e4], dtype=dtype), torch.tensor([-1e4, 1e4, 1e4], dtype=dtype)
    both = loss.discriminator(output(real), output(fake)), loss.generator(output(fake))
    assert [each.dtype for each in both] == [torch.float32, torch.float32]
    exact = value(real.double().numpy(), fake.double().numpy()), generator_value(fake.double().numpy())
    np.testing.assert_allclose([each.item() for each in both], exact, rtol=1e-6)


@pytest.mark.parametrize("name", FORMULAS)
def test_losses_average_over_patches(name: str) -> None:
    loss, value, _, _, generator_value, _ = FORMULAS[name]
    real, fake = RNG.normal(size=(4, 1, 3, 5)), RNG.normal(size=(2, 1, 3, 5))
    np.testing.assert_allclose(loss.discriminator(output(real), output(fake)).item(), value(real, fake), rtol=1e-12)
    np.testing.assert_allclose(loss.generator(output(fake)).item(), generator_value(fake), rtol=1e-12)


def test_minimax_at_the_optimal_discriminator_is_jensen_shannon() -> None:
    # Theorem 1 of Goodfellow et al. 2014: with D* = p/(p+q), V = -log 4 + 2 JSD(p, q). The distributions have three
    # points with rational probabilities, so that means over samples are exact expectations.
    p, q = np.array([5, 3, 2]) / 10, np.array([1, 3, 6]) / 10
    logits = np.log(p / q)
    real, fake = np.repeat(logits, [5, 3, 2]), np.repeat(logits, [1, 3, 6])
    m = (p + q) / 2
    jsd = (p * np.log(p / m)).sum() / 2 + (q * np.log(q / m)).sum() / 2
    value = -Minimax().discriminator(output(real), output(fake)).item()
    np.testing.assert_allclose(value, -np.log(4) + 2 * jsd, rtol=1e-12)


def test_losses_do_not_need_real_samples_or_the_whole_batch() -> None:
    for loss, *_ in FORMULAS.values():
        assert isinstance(loss, AdversarialLoss)
        assert not loss.needs_real_in_generator
        assert not loss.batch_coupled


PLAIN = [name for name in saddlepoint.losses.__all__ if name not in ("AdversarialLoss", "TopK")]


@pytest.mark.parametrize("loss", [getattr(saddlepoint.losses, name)() for name in PLAIN] + [TopK(Hinge(), every=1)])
def test_losses_do_not_synchronize_with_the_device(loss: AdversarialLoss, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the meta device, reading a value, indexing by a mask or branching on a value raises an error."""
    monkeypatch.setattr(saddlepoint.losses.kernels, "full_precision", lambda device: nullcontext())
    real, fake = (CriticOutput(torch.empty(8, device="meta"), torch.empty(8, 3, device="meta")) for _ in range(2))
    loss = loss.to("meta")
    assert loss.discriminator(real, fake).shape == ()
    assert loss.generator(fake, real if loss.needs_real_in_generator else None).shape == ()
