"""Top-k training: selected samples, the schedule of k, and wrapped losses."""

from __future__ import annotations

import pytest
import torch

from saddlepoint.errors import UserError
from saddlepoint.losses import BEGAN, EBGAN, FGAN, MMD, Hinge, NonSaturating, Relativistic, TopK
from saddlepoint.networks import AutoencoderDiscriminator, MLPDiscriminator
from saddlepoint.turns import Turn
from saddlepoint.types import CriticOutput


def output(logits: torch.Tensor) -> CriticOutput:
    return CriticOutput(logits, torch.arange(2.0 * len(logits)).reshape(-1, 2))


def play(loss: TopK, player: str, turns: int = 1) -> None:
    for _ in range(turns):
        loss.observe(Turn(torch.zeros(()), {}, torch.Generator(), players=(player,)))


def test_the_generator_loss_is_on_the_k_best_samples() -> None:
    loss = TopK(Hinge(), decay=0.5, floor=0.25, every=1)
    fake = torch.tensor([-1.0, 3.0, 0.5, 2.0], requires_grad=True)
    assert loss.generator(output(fake)).item() == pytest.approx(-4.5 / 4)  # initially the whole batch
    play(loss, "generator")
    value = loss.generator(output(fake))
    value.backward()
    assert value.item() == pytest.approx(-2.5)
    assert fake.grad is not None
    assert fake.grad.tolist() == [0, -0.5, 0, -0.5]


def test_the_discriminator_loss_is_on_all_samples() -> None:
    loss = TopK(NonSaturating(0.1), decay=0.0, floor=0.0, every=1)
    play(loss, "generator", 3)
    real, fake = output(torch.randn(4)), output(torch.randn(6))
    assert loss.discriminator(real, fake) == NonSaturating(0.1).discriminator(real, fake)


def test_k_decreases_by_epochs_of_the_generator_down_to_the_floor() -> None:
    """γ = 0.9, ν = 0.75, batches of 64, epochs of 10 turns: k = 64, 57.6 → 58, 51.84 → 52, then always 48."""
    loss = TopK(Hinge(), decay=0.9, floor=0.75, every=10)
    found = []
    for _ in range(5):
        found.append(loss.kept(64))
        play(loss, "discriminator", 50)
        play(loss, "generator", 9)
        assert loss.kept(64) == found[-1]
        play(loss, "generator")
    assert found == [64, 58, 52, 48, 48]
    assert TopK(Hinge(), floor=0.0, decay=0.0).kept(1) == 1
    smallest = TopK(Hinge(), floor=0.0, decay=0.0, every=1)
    play(smallest, "generator")
    assert smallest.kept(64) == 1


def test_low_energies_are_best_and_patches_are_averaged() -> None:
    energy = TopK(EBGAN(), decay=0.5, floor=0.0, every=1)
    play(energy, "generator")
    assert energy.generator(output(torch.tensor([5.0, 1.0, 2.0, 9.0]))).item() == pytest.approx(1.5)
    patches = TopK(FGAN("total_variation"), decay=0.5, floor=0.0, every=1)
    play(patches, "generator")
    logits = torch.tensor([[[[9.0, -10.0]]], [[[0.3, 0.1]]]])
    expected = -0.5 * torch.tanh(torch.tensor([0.3, 0.1])).mean()
    assert patches.generator(output(logits)).item() == pytest.approx(expected.item())


def test_turns_and_wrapped_state_are_saved() -> None:
    loss, other = TopK(BEGAN(), every=7), TopK(BEGAN(), every=7)
    play(loss, "generator_of_another_game")
    play(loss, "generator", 9)
    assert loss.turns.item() == 9
    loss.of.k.fill_(0.25)  # type: ignore[operator]
    other.load_state_dict(loss.state_dict())
    assert other.kept(200) == loss.kept(200) == 198
    assert other.of.k.item() == 0.25  # type: ignore[operator]
    play(other, "generator", 5)
    assert other.turns.item() == 14
    assert other.kept(200) == 197  # 0.99² of 200 is 196.02


def test_turns_do_not_synchronize_with_the_device() -> None:
    """Reading the buffer on the meta device would raise an error."""
    loss = TopK(Hinge(), every=1, decay=0.5).to("meta")
    play(loss, "generator", 1)
    assert loss.turns.is_meta
    assert loss.kept(64) == 32


@pytest.mark.parametrize("loss", [Relativistic(), MMD()])
def test_losses_that_compare_with_real_samples_are_rejected(loss: Relativistic | MMD) -> None:
    with pytest.raises(
        UserError, match=rf"^of: .*{type(loss).__name__} compares generated with real samples; wrap .*Hinge$"
    ):
        TopK(loss)


def test_the_critic_must_be_of_the_kind_of_the_wrapped_loss() -> None:
    scores, energies = MLPDiscriminator((2,), [4]), AutoencoderDiscriminator((2,), 4)
    TopK(EBGAN()).check({"discriminator": energies})
    TopK(Hinge()).check({"discriminator": scores})
    with pytest.raises(UserError, match="EBGAN needs a discriminator that returns energies"):
        TopK(EBGAN()).check({"discriminator": scores})
    with pytest.raises(UserError, match="Hinge needs a discriminator that returns scores"):
        TopK(Hinge()).check({"discriminator": energies})
    assert TopK.batch_coupled
