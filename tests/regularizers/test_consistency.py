"""CR, bCR and zCR against naive loops and closed forms."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.networks import DCGANDiscriminator, DCGANGenerator, MLPDiscriminator, MLPGenerator
from saddlepoint.regularizers import BCR, CR, ZCR
from saddlepoint.turns import Bound, Critic, Turn
from saddlepoint.types import CriticOutput


class Linear(nn.Module):
    """D(x) = w·x + b_y."""

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(w), torch.tensor([0.0, 5.0], dtype=torch.float64)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> CriticOutput:
        offset = 0 if labels is None else self.b[labels]
        return CriticOutput((samples * self.w).flatten(1).sum(1) + offset, samples.flatten(1))


class LinearGenerator(nn.Module):
    """G(z) = z W."""

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return latents @ self.w


def samples(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def judged(critic: nn.Module, real: Tensor, fake: Tensor, labels: Tensor | None = None) -> Turn:
    """Return the record of a turn of D."""
    return Turn(
        loss=torch.zeros(()),
        networks={"discriminator": critic},
        random=torch.Generator().manual_seed(0),
        real=real,
        fake=fake,
        labels=labels,
        critic=Critic(critic, labels),
        outputs={"real": critic(real, labels), "fake": critic(fake, labels)},
    )


def naively_moved(images: Tensor, shift: int, random: torch.Generator) -> np.ndarray:
    """Return images padded by reflection and cropped, one at a time."""
    down, right = torch.randint(-shift, shift + 1, (2, len(images)), generator=random).numpy()
    flipped = torch.rand(len(images), generator=random).numpy() < 0.5
    result = []
    for image, dy, dx, flip in zip(images.numpy(), down, right, flipped, strict=True):
        image = image[:, :, ::-1] if flip else image
        padded = np.pad(image, ((0, 0), (shift, shift), (shift, shift)), mode="reflect")
        height, width = image.shape[1:]
        result.append(padded[:, shift - dy : shift - dy + height, shift - dx : shift - dx + width])
    return np.stack(result)


@pytest.mark.parametrize(("shape", "shift"), [((1, 8, 8), 4), ((3, 5, 9), 2), ((4, 6, 3), 0)])
def test_flips_and_shifts_match_padding_and_cropping(shape: tuple[int, ...], shift: int) -> None:
    images = samples(32, *shape)
    ours = CR(shift=shift).moved(images, torch.Generator().manual_seed(3))
    # The naive crop flips before it shifts, as CR does.
    np.testing.assert_array_equal(ours, naively_moved(images, shift, torch.Generator().manual_seed(3)))


@pytest.mark.parametrize("labelled", [False, True])
def test_cr_and_bcr_of_a_linear_critic(labelled: bool) -> None:
    critic = Linear(samples(2, 6, 5, seed=5))
    real, fake, w = samples(7, 2, 6, 5), samples(7, 2, 6, 5, seed=1), critic.w.detach().numpy()
    labels = torch.tensor([0, 1, 1, 0, 1, 0, 0]) if labelled else None
    random = torch.Generator().manual_seed(0)
    changes = []
    for images in (real, fake):
        difference = images.numpy() - naively_moved(images, 2, random)
        changes.append(((difference * w).sum((1, 2, 3)) ** 2).mean())
    penalty = CR(weight=3.0, shift=2).penalty(judged(critic, real, fake, labels))
    np.testing.assert_allclose(penalty.item(), 3 * changes[0], rtol=1e-12)
    penalty = BCR(weight=3.0, fake_weight=0.5, shift=2).penalty(judged(critic, real, fake, labels))
    np.testing.assert_allclose(penalty.item(), 3 * changes[0] + 0.5 * changes[1], rtol=1e-12)
    # The penalty is quadratic in w, so the gradient along w is twice the value.
    penalty.backward()
    np.testing.assert_allclose((critic.w.grad.numpy() * w).sum(), 2 * penalty.item(), rtol=1e-12)


def test_zcr_of_linear_networks() -> None:
    torch.manual_seed(0)
    critic, generator = Linear(samples(6, seed=5)), LinearGenerator(samples(3, 6, seed=6))
    latents = samples(5, 3, seed=7)
    fake = generator(latents)
    noise = torch.randn((5, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64).numpy() * 0.1
    w, v = critic.w.detach().numpy(), generator.w.detach().numpy()

    record = judged(critic, samples(5, 6), fake.detach())
    record.generate, record.latents = Bound(generator), latents
    penalty = ZCR(weight=5.0, std=0.1).penalty(record)
    np.testing.assert_allclose(penalty.item(), 5 * ((noise @ v @ w) ** 2).mean(), rtol=1e-10)
    penalty.backward()
    np.testing.assert_allclose((critic.w.grad.numpy() * w).sum(), 2 * penalty.item(), rtol=1e-10)
    assert generator.w.grad is None

    for scale in (0.01, 1.0):  # images are clamped to [-1, 1]
        record.latents, record.players = scale * latents, ("generator",)
        record.fake = generator(record.latents)
        record.random.manual_seed(0)
        penalty = ZCR(weight=0.5, player="generator", std=0.1 * scale).penalty(record)
        ours, theirs = record.fake.detach().numpy(), (scale * (latents.numpy() + noise)) @ v
        assert (np.abs(ours).max() > 1) == (scale == 1.0)
        expected = -0.5 * ((ours.clip(-1, 1) - theirs.clip(-1, 1)) ** 2).mean()
        np.testing.assert_allclose(penalty.item(), expected, rtol=1e-8)
        if scale < 1:
            penalty.backward()
            np.testing.assert_allclose((generator.w.grad.numpy() * v).sum(), 2 * penalty.item(), rtol=1e-8)


@pytest.mark.parametrize("part", [CR(), BCR(), ZCR(), ZCR(player="generator")], ids=lambda part: type(part).__name__)
def test_batch_norm_is_supported_and_its_statistics_are_not_updated(part: CR | BCR | ZCR) -> None:
    torch.manual_seed(0)
    networks = {"discriminator": DCGANDiscriminator((1, 8, 8), 4), "generator": DCGANGenerator((1, 8, 8), 3, 4)}
    part.check(networks)
    latents = torch.randn(6, 3)
    record = judged(networks["discriminator"], torch.randn(6, 1, 8, 8), networks["generator"](latents))
    record.generate, record.latents = Bound(networks["generator"]), latents
    before = [copy.deepcopy(dict(network.named_buffers())) for network in networks.values()]
    value = part.penalty(record)
    assert np.isfinite(value.item())
    assert value.item() != 0
    for network, buffers in zip(networks.values(), before, strict=True):
        assert buffers
        assert all(torch.equal(buffers[name], buffer) for name, buffer in network.named_buffers())


def test_scores_of_patches_are_averaged() -> None:
    class Patches(nn.Module):
        def forward(self, samples: Tensor, labels: Tensor | None = None) -> CriticOutput:
            return CriticOutput(samples[:, :, :2, :2], samples.flatten(1))

    real = samples(4, 1, 2, 2)  # flips of the image do not change the mean over patches
    record = judged(Patches(), real, real)
    np.testing.assert_allclose(CR(shift=0).penalty(record).item(), 0.0, atol=1e-28)


def test_invalid_turns_and_networks() -> None:
    points = {"discriminator": MLPDiscriminator((2,)), "generator": MLPGenerator((2,), 3)}
    for part in (CR(), BCR()):
        with pytest.raises(UserError, match="shifts and flips images, and the data are points"):
            part.check(points)
    ZCR().check(points)
    with pytest.raises(UserError, match="bounded only for images, and the data are points"):
        ZCR(player="generator").check(points)
    record = judged(Linear(samples(6)), samples(5, 6), samples(5, 6))
    with pytest.raises(
        UserError, match=r"^player: ZCR needs latents and a generator, and the turn of discriminator has none"
    ):
        ZCR().penalty(record)
    record.real = None
    with pytest.raises(UserError, match=r"^player: CR needs real samples, and the turn of discriminator has none"):
        CR().penalty(record)
