"""Sharpness against closed forms, and the effects of blur and noise."""

import math

import pytest
import torch
from scipy.ndimage import gaussian_filter

from saddlepoint.metrics.sharpness import (
    blurred,
    log_contrast,
    log_sharpness,
    mismatch,
    noised,
    sharpness_and_contrast,
)


def test_white_noise_has_the_sharpness_of_white_noise() -> None:
    """Second differences have 1 + 4 + 1 times the variance, first differences twice."""
    noise = torch.randint(0, 256, (1, 1, 400, 400), generator=torch.Generator().manual_seed(0)).byte()
    assert float(log_sharpness(noise).exp()) == pytest.approx(3, rel=0.02)


def test_a_wave_has_its_frequencys_sharpness() -> None:
    """It is 2 - 2 cos ω for a sine of frequency ω, here 0.5 along the rows."""
    wave = (127.5 + 127.5 * torch.sin(0.5 * torch.arange(600))).round().byte().expand(1, 1, 600, 600)
    assert float(log_sharpness(wave).exp()) == pytest.approx(2 - 2 * math.cos(0.5), rel=0.01)


def test_brightness_has_no_effect_and_constant_images_have_zero(digits) -> None:
    images = digits.splits["train"][0][:50] // 2
    torch.testing.assert_close(log_sharpness(images), log_sharpness(images + 100))
    assert log_sharpness(torch.full((2, 3, 8, 8), 9, dtype=torch.uint8)).tolist() == [0, 0]


def test_contrast_is_the_standard_deviation(digits) -> None:
    images = digits.splits["train"][0][:50]
    torch.testing.assert_close(log_contrast(images).exp(), images.double().flatten(1).std(1, correction=0).float())
    assert sharpness_and_contrast(images).shape == (50, 2)


def test_blur_is_scipys() -> None:
    image = torch.randint(0, 256, (1, 2, 20, 24), generator=torch.Generator().manual_seed(0)).byte()
    expected = gaussian_filter(image.double().numpy(), (0, 0, 1.3, 1.3), mode="nearest", radius=(0, 0, 4, 4))
    assert (blurred(image, 1.3).double() - torch.from_numpy(expected)).abs().max() <= 0.51


def test_noise_has_its_deviation() -> None:
    grey = torch.full((1, 1, 200, 200), 128, dtype=torch.uint8)
    assert noised(grey, torch.Generator().manual_seed(0), 10.0).double().std() == pytest.approx(10, rel=0.02)


def test_blurred_and_faint_digits_are_distinguished_from_real_ones(digits) -> None:
    train, held_out = digits.splits["train"][0], digits.splits["held_out"][0]
    real = sharpness_and_contrast(train).median(0).values

    def said(images):
        return mismatch(*(sharpness_and_contrast(images).median(0).values - real).tolist())

    assert said(held_out) is None
    assert said(blurred(held_out, 0.3)) is None
    assert said(blurred(held_out, 0.5)).startswith("samples are blurrier")
    assert said(noised(held_out, torch.Generator().manual_seed(0), 120.0)).startswith("samples are rougher")
    assert said(held_out // 2).startswith("samples have less contrast")
