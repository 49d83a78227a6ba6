"""Distributions of ADA's draws, and the adjustment of its probability."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from saddlepoint.augment import ADA
from saddlepoint.errors import UserError
from saddlepoint.losses import LeastSquares, Relativistic, RelativisticAverage, TopK, Wasserstein
from saddlepoint.networks import MLPDiscriminator
from saddlepoint.turns import Turn
from saddlepoint.types import CriticOutput


def augmented(part: ADA, images: Tensor) -> np.ndarray:
    result: np.ndarray = part(images, torch.Generator().manual_seed(0)).numpy()
    return result


def test_blits_are_flips_quarter_turns_and_shifts() -> None:
    image = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(1))
    result = augmented(ADA(start=1.0, transformations=["blit"]), image.expand(1500, 1, 8, 8))[:, 0]
    possible = {}
    for flip, turn in itertools.product((1, -1), range(4)):
        turned = np.pad(np.rot90(image[0].numpy()[:, ::flip], -turn), 1, mode="reflect")
        for y, x in itertools.product(range(3), repeat=2):
            possible[turned[y : y + 8, x : x + 8].tobytes()] = (flip, turn, y, x)
    assert len(possible) == 72
    seen = np.array([possible[np.ascontiguousarray(one).tobytes()] for one in result])
    for column, values in ((0, (1, -1)), (1, range(4))):
        assert stats.chisquare([(seen[:, column] == value).sum() for value in values]).pvalue > 0.01
    # round(U(-1, 1)) is 0 with probability ½ and ±1 with probability ¼ each
    shifts = [(seen[:, 3] == value).sum() for value in range(3)]
    assert stats.chisquare(shifts, np.array([1, 2, 1]) * 1500 / 4).pvalue > 0.01


@pytest.mark.parametrize(
    ("transformations", "untouched"),
    # luma flips, mirrors and quarter turns can be the identity; half of the rounded shifts are zero
    [("color", 0.7**4 * 0.85), ("geometric", 0.7**4), ("blit", 0.85 * (0.7 + 0.3 / 4) * (0.7 + 0.3 / 4))],
)
def test_each_transformation_is_applied_with_probability_p(transformations: str, untouched: float) -> None:
    image = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(1)).expand(4000, 3, 8, 8)
    result = augmented(ADA(start=0.3, transformations=[transformations]), image)  # type: ignore[list-item]
    same = sum(np.array_equal(one, image[0].numpy()) for one in result)
    assert stats.binomtest(same, 4000, untouched).pvalue > 0.01


def test_distributions_of_brightness_and_contrast() -> None:
    # A gray image is changed only by brightness, contrast and luma flip: ±c (x + b).
    images = torch.tensor([[0.5, -0.5]]).expand(3000, 1, 1, 2)
    result = augmented(ADA(start=1.0, transformations=["color"]), images)[:, 0, 0]
    contrast, flipped = np.abs(result[:, 0] - result[:, 1]), result[:, 0] < result[:, 1]
    assert stats.kstest(np.log2(contrast), stats.norm(0, 0.5).cdf).pvalue > 0.01
    assert stats.binomtest(int(flipped.sum()), 3000, 0.5).pvalue > 0.01
    brightness = result.mean(1) / contrast * np.where(flipped, -1, 1)
    assert stats.kstest(brightness, stats.norm(0, 0.2).cdf).pvalue > 0.01


def test_distributions_of_translation_and_scaling() -> None:
    """The center of mass of a dot changes by the translation, N(0, (W/8)²), except for scaling and reflection."""
    images = torch.zeros(400, 1, 65, 65)
    images[:, :, 30:35, 30:35] = 1
    result = augmented(ADA(start=1.0, transformations=["geometric"]), images)[:, 0]
    y, x = np.mgrid[:65, :65] - 32.0
    mass = result.sum((1, 2))
    across, down = (result * x).sum((1, 2)) / mass, (result * y).sum((1, 2)) / mass
    for moved in (across, down):
        inside = np.abs(moved) < 16  # excludes images with reflections of the dot
        expected = stats.truncnorm(-16 / 8.125, 16 / 8.125, scale=8.125)
        assert stats.kstest(moved[inside], expected.cdf).pvalue > 0.01
    # The area of the dot is multiplied by the squared isotropic scale, 2^N(0, 0.4²).
    still = (np.abs(across) < 12) & (np.abs(down) < 12)
    areas = np.log2(mass[still] / 25)
    np.testing.assert_allclose([np.median(areas), areas.std()], [0.0, 0.4], atol=0.1)


def turn(index: int, logits: list[float], player: str = "discriminator", share: float = 1.0) -> Turn:
    output = CriticOutput(torch.tensor(logits), torch.zeros(len(logits), 1))
    return Turn(
        loss=torch.zeros(()),
        networks={},
        random=torch.Generator(),
        real=torch.zeros(len(logits), 1, 4, 4),
        outputs={"real": output},
        players=(player,),
        turns={player: index},
        share=share,
    )


def test_adjustment_of_the_probability() -> None:
    part = ADA(target=0.5, interval=2, images=40, start=0)
    steps = [
        # turn, scores of real samples, p after the turn
        (0, [3.0, 1.0, 0.2, 5.0], 0.0),
        (1, [1.0, 1.0, -1.0, 1.0], 0.2),  # r = (4 + 2)/8 > 0.5: 8 images of 40
        (2, [2.0, 2.0, 2.0, 2.0], 0.2),
        (3, [9.0, 9.0], 0.35),  # with a partial batch, 6 images
        (4, [-1.0, -1.0, -1.0, 1.0], 0.35),
        (5, [1.0, 1.0, 1.0, 0.0], 0.15),  # r = (-2 + 3)/8; the sign of 0 is 0
        (6, [-1.0] * 4, 0.15),
        (7, [-1.0] * 4, 0.0),  # clipped to 0
    ]
    for index, logits, expected in steps:
        part.observe(turn(index, [5.0] * 4, player="generator"))
        record = turn(index, logits)
        part.observe(record)
        np.testing.assert_allclose(part.probability.item(), expected, atol=1e-6)
        assert record.logs["ada_probability"].item() == part.probability.item()
        assert ("ada_sign" in record.logs) == (index % 2 == 1)
    for index in range(40):
        part.observe(turn(index, [1.0, 1.0]))
    assert part.probability.item() == 1.0  # clipped to 1


def test_a_micro_batch_counts_as_the_whole_batch() -> None:
    part = ADA(interval=1, images=100)
    part.observe(turn(0, [1.0] * 5, share=0.5))
    np.testing.assert_allclose(part.probability.item(), 0.1, rtol=1e-6)


def test_state_resumes_in_the_middle_of_an_interval() -> None:
    part, resumed = ADA(interval=3, images=50), ADA(interval=3, images=50)
    for index in range(2):
        part.observe(turn(index, [1.0, 1.0, -1.0]))
    resumed.load_state_dict(part.state_dict())
    for one in (part, resumed):
        one.observe(turn(2, [1.0, 1.0, 1.0]))
    assert part.probability.item() == resumed.probability.item() == np.float32(0.0)  # r = 5/9 < 0.6
    for index in range(3, 6):
        for one in (part, resumed):
            one.observe(turn(index, [1.0]))
    np.testing.assert_allclose(resumed.probability.item(), 3 / 50, rtol=1e-6)


def test_dtype_and_values_under_autocast() -> None:
    images, part = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(2)), ADA(start=0.9)
    plain = augmented(part, images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert np.array_equal(augmented(part, images), plain)


def test_incompatible_networks_and_losses_are_rejected() -> None:
    critic = MLPDiscriminator((2, 8, 8), [4])
    with pytest.raises(UserError, match=r"^transformations: .*1, 3 or 4 channels, got 2; leave out color"):
        ADA().check({"discriminator": critic})
    ADA(transformations=["blit", "geometric"]).check({"discriminator": critic})
    critic.critic = "energy"  # type: ignore[assignment]
    with pytest.raises(UserError, match=r"this discriminator returns energies.*; use DiffAugment$"):
        ADA().check({"discriminator": critic})


def test_the_sign_is_relative_to_the_undecided_score() -> None:
    part = ADA(target=0.5, interval=1, images=40)
    part.check_loss(LeastSquares(a=0, b=1))
    record = turn(0, [0.4, 0.6, 0.7, 0.1])
    part.observe(record)
    assert record.logs["ada_sign"].item() == 0.0
    for loss in (Wasserstein(), Relativistic(), RelativisticAverage(), TopK(Wasserstein())):
        with pytest.raises(
            UserError, match=rf"is arbitrary for {type(loss).__name__}; use DiffAugment, or another loss$"
        ):
            part.check_loss(loss)
