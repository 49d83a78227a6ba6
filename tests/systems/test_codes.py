from __future__ import annotations

import math

import torch

from saddlepoint.systems.codes import Codes, negative_log_categorical, negative_log_normal

CODES = Codes(3, (4, 2), 2)


def test_unpack_is_the_inverse_of_pack() -> None:
    random = torch.Generator().manual_seed(0)
    latents = CODES.draw(50, random)
    noise, categories, continuous = CODES.unpack(latents)
    assert latents.shape == (50, CODES.dim) == (50, 11)
    assert torch.equal(CODES.pack(noise, categories, continuous), latents)
    assert latents[:, 3:7].sum(1).eq(1).all()
    assert latents[:, 7:9].sum(1).eq(1).all()


def test_distributions_of_noise_and_codes() -> None:
    noise, categories, continuous = CODES.unpack(CODES.keyed(0, 0, 20_000))
    for values in (noise, continuous):
        assert values.abs().max() <= 1
        assert abs(values.var() - 1 / 3) < 0.01
    for code, k in zip(categories, CODES.categories, strict=True):
        shares = torch.bincount(code, minlength=k) / 20_000
        assert (shares - 1 / k).abs().max() < 0.02


def test_keyed_rows_depend_only_on_seed_and_index() -> None:
    whole = CODES.keyed(1, 0, 200)
    assert torch.equal(CODES.keyed(1, 70, 9), whole[70:79])
    assert not torch.equal(CODES.keyed(2, 0, 200), whole)


def test_entropies_in_nats() -> None:
    assert CODES.entropy == {"categorical": math.log(8), "continuous": 2 * math.log(2)}


def test_likelihoods_against_torch_distributions() -> None:
    logits = [torch.randn(5, 4), torch.randn(5, 2)]
    categories = [torch.randint(4, (5,)), torch.randint(2, (5,))]
    laws = [torch.distributions.Categorical(logits=t) for t in logits]
    expected = -sum(law.log_prob(c).mean() for law, c in zip(laws, categories, strict=True))
    torch.testing.assert_close(negative_log_categorical(logits, categories), expected)
    mean, values = torch.randn(5, 2), torch.randn(5, 2)
    expected = -torch.distributions.Normal(mean, 1.0).log_prob(values).sum(1).mean()
    torch.testing.assert_close(negative_log_normal(mean, values), expected)
