"""Features of an untrained network, which are the same on all machines."""

import math

import numpy as np
import pytest
import torch

from saddlepoint.errors import UserError
from saddlepoint.metrics.cache import digest
from saddlepoint.metrics.features import RandomFeatures, extractor_from_state
from saddlepoint.metrics.features.random import KEY, SHA256, philox_weights
from saddlepoint.types import DataInfo


def images(channels: int, side: int = 20) -> torch.Tensor:
    random = torch.Generator().manual_seed(channels)
    return torch.randint(0, 256, (6, channels, side, side), dtype=torch.uint8, generator=random)


def test_weights_have_their_hash() -> None:
    assert digest(philox_weights()) == SHA256


def test_weights_follow_the_counter_and_he() -> None:
    """The first weight computed from Philox's first 64 bits, and the spread by He's formula."""
    weights = philox_weights()
    first = int(np.random.Philox(key=KEY).random_raw()) >> 11
    bound = math.sqrt(6 / 36)
    assert float(weights["0"][0, 0, 0, 0]) == np.float32((2 * first * 2.0**-53 - 1) * bound)
    for weight in weights.values():
        fan_in = weight[0].numel()
        assert float(weight.std()) == pytest.approx(math.sqrt(2 / fan_in), rel=0.1)


def test_numpys_counter_is_the_published_one() -> None:
    """Philox4x64-10 with zero key and counter, against its authors' test vectors; NumPy increments before drawing."""
    raw = np.random.Philox(key=0, counter=2**256 - 1).random_raw(4)
    assert [f"{int(word):016x}" for word in raw] == [
        "16554d9eca36314c",
        "db20fe9d672d0fdc",
        "d7e772cee186176b",
        "7e68b68aec7ba23b",
    ]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_any_channels_in_any_batch(channels: int) -> None:
    batch = images(channels)
    features = RandomFeatures()(batch)
    assert features.pool.shape == (6, 256)
    assert features.logits is None
    assert torch.equal(RandomFeatures()(batch).pool, features.pool)
    torch.testing.assert_close(RandomFeatures()(batch[2:3]).pool, features.pool[2:3])
    assert float(features.pool.std()) > 0.01


def test_the_first_layer_by_hand() -> None:
    """Away from the borders, the first map of a constant image is the rectified sum of the kernel."""
    white = torch.full((1, 1, 64, 64), 255, dtype=torch.uint8)
    network = RandomFeatures().network
    kernel = philox_weights()["0"][:, :1] * 2
    inner = torch.relu(kernel.sum((1, 2, 3)))
    maps = torch.relu(torch.nn.functional.conv2d(white.float() / 127.5 - 1, kernel, stride=2, padding=1))
    torch.testing.assert_close(maps[0, :, 5, 5], inner)
    torch.testing.assert_close(network(white)[0, :16], maps.mean((2, 3))[0])


def test_state_holds_no_weights(tmp_path) -> None:
    extractor = RandomFeatures()
    again = extractor_from_state(extractor.state(), tmp_path)
    assert torch.equal(again(images(3)).pool, extractor(images(3)).pool)
    with pytest.raises(UserError, match="version"):
        extractor_from_state({"name": "random", "version": "0"}, tmp_path)


def test_five_channels_and_points_are_refused(digits, tmp_path) -> None:
    for shape in ((5, 8, 8), (2,)):
        digits.info = DataInfo("odd", shape, None, {"train": 9, "held_out": 9}, "f")
        with pytest.raises(UserError) as caught:
            RandomFeatures().prepare(digits, tmp_path)
        problem = f"the random network needs images of 1 to 4 channels, but odd has shape {list(shape)}"
        assert (caught.value.problem, caught.value.remedy) == (problem, "choose the features none")


def test_floats_are_refused() -> None:
    with pytest.raises(TypeError, match="uint8"):
        RandomFeatures()(torch.zeros(1, 3, 8, 8))
