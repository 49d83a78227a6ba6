"""Samples, codes, pictures and errors of the adversarial autoencoder."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from aae_toys import K, N, Z, batch, build

from saddlepoint.errors import UserError
from saddlepoint.systems.capabilities import (
    Encodes,
    Generates,
    HasCodePrior,
    InfersCodes,
    Picture,
    Scatter,
    Traverses,
    UsesLabelled,
)


def test_samples_do_not_depend_on_the_batch_size() -> None:
    for labels, prior in (("none", "swiss_roll"), ("prior", "mixture"), ("semi", "gaussian")):
        system = build(labels, prior)
        all_of_them = system.sample(150, seed=4)
        assert torch.equal(all_of_them[100:120], system.sample(20, seed=4, start=100))
        latents = system.draw(4, 0, 150).latents
        assert torch.equal(system.draw(4, 70, 5).latents, latents[70:75])
        torch.testing.assert_close(all_of_them, system.decoder(latents))


def test_capabilities() -> None:
    plain, semi = build(), build("semi")
    for system in (plain, semi):
        assert all(isinstance(system, able) for able in (Generates, Encodes, HasCodePrior, UsesLabelled))
        assert isinstance(system, InfersCodes) == isinstance(system, Traverses) == (system is semi)
        x = batch().images
        assert torch.equal(system.prior_codes(9, 5), system.draw(5, 0, 9).latents)
        assert system.decode(system.encode(x)).shape == x.shape
    assert (plain.described_prior, semi.described_prior) == ("mixture", f"mixture of {Z}, one-hot of {K}")
    assert build(prior="gaussian").described_prior == "normal"
    logits = semi.encoder(x).class_logits
    assert torch.equal(semi.infer_codes(x), logits.argmax(1))
    torch.testing.assert_close(semi.encode(x), torch.cat([semi.encoder(x).style, logits.softmax(1)], 1))


def test_latents_of_the_semi_supervised_system_are_normal_and_one_hot() -> None:
    latents = build("semi", "gaussian").draw(0, 0, 30_000).latents
    z, y = latents[:, :Z], latents[:, Z:]
    assert set(y.unique().tolist()) == {0.0, 1.0}
    assert (y.sum(1) == 1).all()
    torch.testing.assert_close(y.mean(0), torch.full((K,), 1 / K), rtol=0, atol=0.01)
    torch.testing.assert_close(z.T.cov(), torch.eye(Z), rtol=0, atol=0.03)
    torch.testing.assert_close((z.T @ (y - 1 / K)) / len(z), torch.zeros(Z, K), rtol=0, atol=0.01)


def test_a_traversal_has_a_column_for_each_class_and_a_row_for_each_style() -> None:
    system = build("semi", "gaussian")
    shown = system.traverse(0, 2, 4, seed=3)
    z = system.draw(3, 0, 2).latents[:, :Z]
    codes = torch.cat([z.repeat_interleave(4, 0), torch.eye(K)[[0, 1, 2, 0] * 2]], 1)
    torch.testing.assert_close(shown, system.decoder(codes))


def test_a_picture_of_one_image_shows_one_reconstruction() -> None:
    system, one = build(), batch()
    real = one.samples[:1]
    shown = system.pictures(1, 0, one)["reconstructions"].samples
    torch.testing.assert_close(shown, torch.cat([real, system.decode(system.encode(real))]))


def test_pictures() -> None:
    one = batch()
    shown = build("semi").pictures(4, 0, one)
    assert set(shown) == {"samples", "reconstructions", "codes", "classes"}
    codes = shown["codes"]
    assert isinstance(codes, Scatter)
    assert codes.points.shape == (N, 2)
    assert torch.equal(codes.labels, one.labels)
    assert codes.prior.shape == (2000, 2)
    assert isinstance(shown["classes"], Picture)
    assert (len(shown["classes"].samples), shown["classes"].columns) == (10 * K, K)


def test_labelled_samples_are_not_part_of_checkpoints() -> None:
    system = build("semi", labelled=4)
    before = set(system.state_dict())
    system.set_labelled(batch(4))
    assert set(system.state_dict()) == before


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"prior": "gaussian", "labels": "prior"}, "labels: 'prior' requires a prior with one part for each class"),
        ({"labelled": 10}, "labelled: labels are not used"),
    ],
)
def test_what_does_not_go_together(options: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as refused:
        build(**options)
    assert str(refused.value).startswith(line)


def test_only_the_gaussian_is_truncated() -> None:
    assert build(prior="gaussian").draw(0, 0, 500, 0.5).latents.abs().max() <= 1
    with pytest.raises(UserError, match="cannot be truncated"):
        build(prior="swiss_roll").draw(0, 0, 1, 0.5)
