"""Common properties of all augments: identity at zero strength, first and second gradients, keyed draws."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from saddlepoint.augment import ADA, Augment, DiffAugment, InstanceNoise, RandomTransformations
from saddlepoint.errors import UserError
from saddlepoint.networks import DCGANDiscriminator, MLPDiscriminator
from saddlepoint.regularizers import BCR, CR, DRAGAN, R1, R2, GradientPenalty
from saddlepoint.turns import Critic, Turn

AUGMENTS: dict[str, Callable[[], Augment]] = {
    "ada": lambda: ADA(start=0.9),
    "ada blit": lambda: ADA(start=1.0, transformations=["blit"]),
    "diffaugment": DiffAugment,
    "instance_noise": InstanceNoise,
    "random_transformations": lambda: RandomTransformations(0.9, color_probability=0.5),
}
IDENTITIES: dict[str, Callable[[], Augment]] = {
    "ada": ADA,
    "diffaugment": lambda: DiffAugment([]),
    "instance_noise": lambda: InstanceNoise(std=0.0),
    "random_transformations": lambda: RandomTransformations(0.0),
}
SHAPES = [(1, 8, 8), (3, 6, 10), (4, 7, 5)]


def samples(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def augmented(augment: Augment, images: Tensor, seed: int = 0) -> Tensor:
    return augment(images, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", IDENTITIES)
def test_identity_is_exact(name: str, shape: tuple[int, ...]) -> None:
    images = samples(16, *shape).float()
    assert torch.equal(augmented(IDENTITIES[name](), images), images)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", AUGMENTS)
def test_draws_come_from_the_generator_and_samples_are_independent(name: str, shape: tuple[int, ...]) -> None:
    images, augment = samples(16, *shape).float(), AUGMENTS[name]()
    before, state = images.clone(), torch.get_rng_state()
    result = augmented(augment, images)
    assert result.shape == images.shape
    assert result.dtype == torch.float32
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(result, augmented(augment, images))
    different = [not torch.equal(a, b) for a, b in zip(result, images, strict=True)]
    assert sum(different) > 10
    assert not torch.equal(result, augmented(augment, images, seed=1))
    others = images.clone()
    others[1:] = 0
    torch.testing.assert_close(augmented(augment, others)[0], result[0])


@pytest.mark.parametrize("name", AUGMENTS)
def test_gradients_of_both_orders(name: str) -> None:
    augment, images = AUGMENTS[name](), samples(2, 3, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: augmented(augment, x), (images,), fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: augmented(augment, x).pow(3), (images,), fast_mode=True)


PENALTIES = [R1, R2, GradientPenalty, DRAGAN, CR, BCR]


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("name", AUGMENTS)
def test_penalties_through_augments(name: str, penalty: Callable[[], R1]) -> None:
    torch.manual_seed(0)
    critic, augment, part = DCGANDiscriminator((1, 8, 8), 2, norm="layer").double(), AUGMENTS[name](), penalty()
    real, fake = samples(4, 1, 8, 8), samples(4, 1, 8, 8, seed=1)

    def value() -> Tensor:
        random = torch.Generator().manual_seed(5)
        record = Turn(
            loss=torch.zeros(()),
            networks={"discriminator": critic},
            random=random,
            real=real,
            fake=fake,
            outputs={"real": critic(real), "fake": critic(fake)},
            critic=Critic(critic, augment=lambda x: augment(x, random)),
        )
        return part.penalty(record)

    value().backward()
    weight = critic.trunk[0].weight
    index = weight.grad.abs().argmax()
    at, values = weight.data.view(-1)[index].item(), []
    for step in (1e-6, -1e-6):
        weight.data.view(-1)[index] = at + step
        values.append(value().item())
    np.testing.assert_allclose(weight.grad.view(-1)[index].item(), (values[0] - values[1]) / 2e-6, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("name", ["ada", "diffaugment"])
def test_points_are_rejected(name: str) -> None:
    networks: dict[str, nn.Module] = {"discriminator": MLPDiscriminator((2,), [4])}
    with pytest.raises(
        UserError, match="transforms images, and the data are points; leave it out, or choose image data"
    ):
        AUGMENTS[name]().check(networks)
    AUGMENTS[name]().check({"discriminator": MLPDiscriminator((3, 8, 8), [4])})
    InstanceNoise().check(networks)


@pytest.mark.parametrize("name", AUGMENTS)
def test_buffers_are_not_float64(name: str) -> None:
    """A module with float64 buffers cannot be moved to MPS."""
    assert all(buffer.dtype != torch.float64 for buffer in AUGMENTS[name]().buffers())


def test_instance_noise_counts_images_beyond_the_precision_of_float32() -> None:
    noise = InstanceNoise(decay_images=40_000_000)
    noise.images.fill_(2**25)
    real = torch.zeros(3, 2)
    noise.observe(Turn(torch.zeros(()), {}, torch.Generator(), real=real, players=("discriminator",)))
    assert noise.images.item() == 2**25 + 3


def test_pairs_are_counted_once() -> None:
    """The samples of a critic of pairs are tuples of images and codes."""
    noise, pairs = InstanceNoise(), (torch.zeros(6, 1, 4, 4), torch.zeros(6, 3))
    noise.observe(Turn(torch.zeros(()), {}, torch.Generator(), real=pairs, share=0.5))
    assert noise.images.item() == 12
