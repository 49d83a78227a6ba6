"""Labels in training and in sampling."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from saddlepoint.errors import UserError
from saddlepoint.losses import NonSaturating
from saddlepoint.networks import DCGANDiscriminator, DCGANGenerator, R3GANDiscriminator, R3GANGenerator
from saddlepoint.regularizers import AuxiliaryClassifier
from saddlepoint.systems import GAN, labels
from saddlepoint.types import ImageBatch

SGD = partial(torch.optim.SGD, lr=0.1)


def gan(generator: Any = "concat", discriminator: Any = "concat", packing: int = 1, **options: Any) -> GAN:
    torch.manual_seed(0)
    networks = {
        "generator": DCGANGenerator((1, 8, 8), 6, 4, conditioning=generator, num_classes=3),
        "discriminator": DCGANDiscriminator((1, 8, 8), 4, conditioning=discriminator, num_classes=3, packing=packing),
    }
    optimizers = {"generator": SGD, "discriminator": SGD}
    return GAN(networks, NonSaturating(), latent_dim=6, optimizers=optimizers, **options)


def test_labels_follow_the_training_distribution_and_depend_only_on_their_index() -> None:
    shares = torch.tensor([0.2, 0.0, 0.5, 0.3])
    drawn = labels.keyed(shares, 3, 0, 20_000)
    counts = np.bincount(drawn.numpy(), minlength=4)
    assert counts[1] == 0
    np.testing.assert_allclose(counts / 20_000, shares, atol=4 * np.sqrt(0.25 / 20_000))
    assert torch.equal(labels.keyed(shares, 3, 777, 100), drawn[777:877])
    assert not torch.equal(labels.keyed(shares, 4, 0, 100), drawn[:100])


def test_the_label_distribution_is_saved_in_checkpoints() -> None:
    system, other = gan(), gan()
    assert system.draw_sample_labels(0, 0, 300).bincount(minlength=3).min() > 60
    system.learn_labels(torch.tensor([10, 0, 30]))
    other.load_state_dict(system.state_dict())
    drawn = other.draw_sample_labels(0, 0, 300)
    assert torch.equal(drawn, system.draw_sample_labels(0, 0, 300))
    assert drawn.bincount(minlength=3)[1] == 0
    with pytest.raises(UserError, match="the data has 4 classes and the generator was built for 3"):
        system.learn_labels(torch.ones(4))


def test_samples_are_generated_from_the_drawn_labels() -> None:
    system = gan()
    every = system.sample(130, seed=7)
    drawn = system.draw_sample_labels(7, 0, 130)
    assert torch.equal(system.sample(130, drawn, seed=7), every)
    assert torch.equal(system.sample(5, seed=7, start=61), every[61:66])
    changed = system.sample(130, (drawn + 1) % 3, seed=7)
    assert (changed - every).abs().amax((1, 2, 3)).min() > 1e-6


def test_rows_share_a_class_and_columns_share_latents() -> None:
    system = gan()
    table = system.sample_classes([2, 0], 3, seed=5)
    latents = system.draw(5, 0, 3).latents
    system.generator.eval()
    for row, label in enumerate((2, 0)):
        expected = system.averages["generator"](latents, torch.full((3,), label))
        torch.testing.assert_close(table[3 * row : 3 * row + 3], expected, atol=1e-6, rtol=1e-4)


def test_invalid_labels_are_rejected() -> None:
    with pytest.raises(UserError, match=r"^labels: classes are 0 … 2, got 1 … 3$"):
        gan().sample(2, torch.tensor([1, 3]))
    with pytest.raises(UserError, match=r"^labels: .* the generator is unconditional; leave them out$"):
        gan("none", "none").sample(2, torch.tensor([1, 3]))
    assert gan("none", "none").draw_sample_labels(0, 0, 4) is None
    assert not any("label" in name for name in gan("none", "none").state_dict())


@pytest.mark.parametrize(
    ("generator", "discriminator", "line"),
    [
        ("concat", "none", "^discriminator.conditioning: .* set it to concat, projection or auxiliary$"),
        ("none", "concat", "^generator.conditioning: .* set it to concat, batchnorm or adain$"),
        ("none", "projection", "^generator.conditioning: .* set it to concat, batchnorm or adain$"),
        ("concat", "auxiliary", "^discriminator.conditioning: .* add the regularizer auxiliary_classifier$"),
    ],
)
def test_networks_with_incompatible_conditioning_are_rejected(generator: str, discriminator: str, line: str) -> None:
    with pytest.raises(UserError, match=line):
        gan(generator, discriminator)


def test_a_projection_that_does_not_affect_the_loss_is_rejected() -> None:
    networks = (
        R3GANGenerator((1, 8, 8), 4, 4, conditioning="concat", num_classes=3),
        R3GANDiscriminator((1, 8, 8), 4, conditioning="projection", num_classes=3),
    )
    labels.check_networks(*networks, classifier_trained=False)
    with pytest.raises(UserError, match=r"^discriminator.conditioning: projection .*; set it to concat, or choose"):
        labels.check_networks(*networks, classifier_trained=False, reads="features")


def test_an_auxiliary_classifier_with_an_unconditional_generator_is_rejected() -> None:
    """The labels of its samples would be arbitrary."""
    with pytest.raises(UserError, match=r"^generator.conditioning: .* generated samples would not match their labels"):
        gan("none", "auxiliary", regularizers={"d": AuxiliaryClassifier()})


def test_a_classifier_that_is_trained_only_in_the_generators_turns_is_rejected() -> None:
    with pytest.raises(UserError, match=r"^discriminator.conditioning: .* auxiliary classifier is not trained"):
        gan("concat", "auxiliary", regularizers={"g": AuxiliaryClassifier(player="generator")})


def test_generated_samples_have_the_labels_of_the_real_batch() -> None:
    parts = {"d": AuxiliaryClassifier(), "g": AuxiliaryClassifier(player="generator")}
    system = gan("batchnorm", "auxiliary", regularizers=parts)
    system.random = torch.Generator().manual_seed(0)
    seen: list[tuple[str, Tensor | None]] = []
    for role in ("generator", "discriminator"):
        system.networks[role].register_forward_pre_hook(lambda _, inputs, role=role: seen.append((role, inputs[1])))
    batch = ImageBatch(torch.rand(6, 1, 8, 8) * 2 - 1, torch.tensor([0, 1, 2, 2, 1, 0]))
    for loss in (system.discriminator_loss, system.generator_loss):
        record = loss(batch)
        assert record.outputs["fake"].class_logits.shape == (6, 3)
    assert [role for role, _ in seen] == ["generator", "discriminator", "discriminator", "generator", "discriminator"]
    assert all(torch.equal(told, batch.labels) for _, told in seen)


def test_packs_do_not_mix_real_and_generated_samples() -> None:
    """They have separate forward passes."""
    system = gan("none", "none", packing=2)
    assert not system.judges_together
    x = torch.rand(6, 1, 8, 8)
    real, fake = system.judge(x, -x, None)
    assert real.logits.shape == fake.logits.shape == (3,)
    with pytest.raises(UserError, match=r"^accumulate: Packing \(discriminator\) depends on the whole batch"):
        gan("none", "none", packing=2, accumulate=2)
