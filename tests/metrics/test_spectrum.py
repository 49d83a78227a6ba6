"""Power spectra against loops over pixels and frequencies, waves and noise; the score by its definition."""

import cmath
import math

import numpy as np
import pytest
import torch

from saddlepoint.metrics.evaluation import Evaluator
from saddlepoint.metrics.power_spectra import power_spectra
from saddlepoint.metrics.real import RealStatistics

AT = {
    "ema": True, "batchnorm": "running", "labels": "none", "images_seen": 640, "generator_updates": 9, "revision": "a",
}  # fmt: skip
ROUNDING = 1 / 12 / 255**2


def by_loop(image: np.ndarray) -> list[float]:
    """Return the spectrum of an image [C, H, W] with values in [0, 1]."""
    channels, height, width = image.shape
    side = min(height, width)
    powers: dict[int, list[float]] = {}
    for u in range(height):
        for v in range(width):
            k = round(side * math.hypot(min(u, height - u) / height, min(v, width - v) / width))
            for channel in range(channels):
                total = sum(
                    image[channel, y, x] * cmath.exp(-2j * cmath.pi * (u * y / height + v * x / width))
                    for y in range(height)
                    for x in range(width)
                )
                powers.setdefault(k, []).append(abs(total) ** 2 / (height * width))
    return [float(np.mean(powers[k])) + ROUNDING for k in range(side // 2 + 1)]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 7), (2, 6, 9)])
def test_it_equals_loops(shape: tuple[int, ...]) -> None:
    images = torch.randint(0, 256, (3, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = [by_loop(image.double().numpy() / 255) for image in images]
    np.testing.assert_allclose(power_spectra(images), expected, rtol=1e-4)


def test_a_wave_has_one_frequency_and_noise_has_all() -> None:
    x = torch.arange(32.0)
    wave = (127.5 + 100 * torch.cos(2 * math.pi * 5 * x / 32)).round().to(torch.uint8).expand(1, 1, 32, 32)
    found = power_spectra(wave)[0]
    assert found[1:].argmax() == 4
    assert found[5] > 1e4 * found[[1, 2, 3, 4, 6, 7, 8]].max()
    random = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (200, 3, 32, 32), dtype=torch.uint8, generator=random)
    torch.testing.assert_close(
        power_spectra(noise).mean(0)[1:], torch.full((16,), (256**2 - 1) / 12 / 255**2), rtol=0.05, atol=0
    )


def test_the_score_is_the_mean_log_difference(digits, grid, tmp_path) -> None:
    reference = RealStatistics.compute(digits, grid, tmp_path, n=300, metrics=("spectrum",))
    evaluator = Evaluator(grid, reference, ("spectrum",), n=300)
    held_out = digits.splits["held_out"][0][:300]
    blurred = torch.nn.functional.avg_pool2d(held_out.float(), 3, 1, 1).round().to(torch.uint8)
    (card,) = evaluator.score([blurred[:100], blurred[100:]], **AT)
    own, real = power_spectra(blurred).double().mean(0), evaluator.references["spectrum"]["mean"]
    logs = (own.log() - real.log())[1:]
    assert card.value == pytest.approx(float(logs.abs().mean()))
    assert card.beside == {"high_frequencies": pytest.approx(float(logs[3:].mean()))}
    assert card.beside["high_frequencies"] < -1
    assert card.real < 0.1
    assert (card.metric, card.features, card.n) == ("spectrum", "pixels", 300)
    assert evaluator.details["spectrum"].keys() == {"spectrum", "real_spectrum"}
