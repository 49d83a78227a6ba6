from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from saddlepoint.data import DataModule, Digits
from saddlepoint.errors import UserError
from saddlepoint.exploring import directions
from saddlepoint.losses import NonSaturating, Wasserstein
from saddlepoint.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from saddlepoint.networks.mlp import MLPDiscriminator, MLPGenerator
from saddlepoint.networks.progan import ProGANDiscriminator, ProGANGenerator
from saddlepoint.networks.stylegan2 import StyleGAN2Discriminator, StyleGAN2Generator
from saddlepoint.regularizers import AuxiliaryClassifier
from saddlepoint.systems import GAN, ProGAN, StyleGAN2

Z = 6
SGD = partial(torch.optim.SGD, lr=0.1)


def gan(generator: nn.Module, discriminator: nn.Module, **settings: Any) -> GAN:
    torch.manual_seed(0)
    networks = {"generator": generator, "discriminator": discriminator}
    optimizers = dict.fromkeys(networks, SGD)
    return GAN(networks, NonSaturating(), latent_dim=Z, optimizers=optimizers, ema_decay=None, **settings)


@pytest.mark.parametrize("conditioning", ["none", "concat"])
def test_sefas_directions_are_singular_vectors_of_the_first_layer(conditioning: str) -> None:
    torch.manual_seed(1)
    labels: Any = {"conditioning": conditioning, "num_classes": 3}
    system = gan(
        DCGANGenerator((1, 8, 8), Z, width=8, **labels),
        DCGANDiscriminator((1, 8, 8), width=8, **labels),
    )
    weight = system.generator.project.weight.detach()[:, :Z].double().numpy()  # type: ignore[union-attr, index]
    expected = np.linalg.svd(weight)[2]
    found = directions.sefa(system).double().numpy()
    np.testing.assert_allclose(np.abs((found * expected).sum(1)), 1, atol=1e-4)
    np.testing.assert_allclose(found @ found.T, np.eye(Z), atol=1e-5)


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("kind", ["progan", "stylegan2"])
def test_sefas_directions_where_latents_are_normalized_first(kind: str, classes: int) -> None:
    """By ProGAN together with the label; a StyleGAN2 has noise besides latents."""
    torch.manual_seed(1)
    labels: Any = {"conditioning": "concat" if classes else "none", "num_classes": classes}
    critic: Any = dict(labels)
    if classes:
        critic["conditioning"] = "auxiliary" if kind == "progan" else "projection"
    settings: Any = {"latent_dim": Z, "optimizers": dict.fromkeys(("generator", "discriminator"), SGD)}
    system: GAN
    if kind == "progan":
        networks = {
            "generator": ProGANGenerator((1, 8, 8), Z, 8, **labels),
            "discriminator": ProGANDiscriminator((1, 8, 8), 4, **critic),
        }
        parts = {"auxiliary_classifier": AuxiliaryClassifier()} if classes else {}
        system = ProGAN(networks, loss=Wasserstein(), regularizers=parts, **settings)
        weight = system.generator.first[1].weight.flatten(1)[:Z].T
    else:
        generator = StyleGAN2Generator((1, 8, 8), Z, 8, 8, mapping_layers=2, **labels)
        networks = {"generator": generator, "discriminator": StyleGAN2Discriminator((1, 8, 8), 4, **critic)}
        system = StyleGAN2(networks, loss=NonSaturating(), **settings)
        weight = generator.mapping.layers[0].weight[:, :Z]
    expected = np.linalg.svd(weight.detach().double().numpy())[2]
    found = directions.sefa(system).double().numpy()
    np.testing.assert_allclose(np.abs((found * expected).sum(1)), 1, atol=1e-4)


class Linear(MLPGenerator):
    """x = A z, with singular values 9, 6, 3 and 1."""

    def __init__(self) -> None:
        super().__init__((4,), Z, hidden=[4])
        random = torch.Generator().manual_seed(3)
        left = torch.linalg.qr(torch.randn(4, 4, generator=random)).Q
        self.right = torch.linalg.qr(torch.randn(Z, 4, generator=random)).Q
        self.matrix = left @ torch.diag(torch.tensor([9.0, 6.0, 3.0, 1.0])) @ self.right.T

    def forward(self, latents: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        return latents @ self.matrix.T


def test_principal_components_of_a_linear_generator_are_its_singular_vectors() -> None:
    generator = Linear()
    system = gan(generator, MLPDiscriminator((4,), hidden=[4]))
    found = directions.pca(system, seed=0)
    assert found.shape == (4, Z)
    assert ((found * generator.right.T).sum(1).abs() > 0.97).all()
    assert torch.equal(found, directions.pca(system, seed=0))


def test_deviations_are_those_of_the_priors() -> None:
    for prior in ("normal", "uniform"):
        system = gan(MLPGenerator((2,), Z, hidden=[4]), MLPDiscriminator((2,), hidden=[4]), prior=prior)
        z = system.draw(0, 0, 20_000).latents
        assert z.std().item() == pytest.approx(directions.deviation(system.prior), rel=0.01)


class Rows:
    """Encodes digits by their means over columns."""

    def encode(self, samples: torch.Tensor, ema: bool = True) -> torch.Tensor:
        return samples.mean((1, 3))


def test_directions_of_labels_are_differences_of_mean_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    data = DataModule(Digits())
    samples, labels = data.batch("train", 0, 2000).samples, data.labels("train")
    assert labels is not None
    for most in (20_000, 300):  # only the first samples are used
        monkeypatch.setattr(directions, "ENCODED", most)
        codes, classes = samples[:most].mean((1, 3)), labels[:most]
        ways = torch.stack([codes[classes == k].mean(0) - codes[classes != k].mean(0) for k in range(10)])
        found = directions.labels(Rows(), data)  # type: ignore[arg-type]
        torch.testing.assert_close(found, ways / ways.norm(dim=1, keepdim=True), rtol=1e-4, atol=1e-4)


def test_directions_of_labels_need_labels() -> None:
    class Unlabelled(DataModule):
        def labels(self, split: Any, column: str | None = None) -> None:
            return None

    with pytest.raises(UserError) as refused:
        directions.labels(Rows(), Unlabelled(Digits()))  # type: ignore[arg-type]
    assert refused.value.key == "along"
