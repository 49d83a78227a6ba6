"""Quantisation against a naive loop."""

import pytest
import torch

from saddlepoint.metrics.quantise import quantise


def test_every_level_survives_the_round_trip() -> None:
    levels = torch.arange(256)
    assert torch.equal(quantise(levels / 127.5 - 1).long(), levels)


def test_equals_a_naive_loop() -> None:
    images = torch.cat([torch.linspace(-1.2, 1.2, 999), torch.tensor([-1.0, 1.0, 1.004, -1.004, 0.0])])
    expected = [round(min(max((float(x) + 1) * 127.5, 0.0), 255.0)) for x in images]
    got = quantise(images)
    assert got.dtype == torch.uint8
    assert got.tolist() == expected


def test_half_precision_is_quantised_in_float32() -> None:
    images = torch.linspace(-1, 1, 500).bfloat16()
    assert torch.equal(quantise(images), quantise(images.float()))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(FloatingPointError, match="diverged"):
        quantise(torch.tensor([0.0, value]))
