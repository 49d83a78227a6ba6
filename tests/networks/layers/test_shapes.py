"""Supported sizes against a search over all sizes."""

import pytest

from saddlepoint.errors import UserError
from saddlepoint.networks.layers.shapes import check_image, check_shape, image_pyramid


def search(height: int, width: int) -> tuple[int, int, int] | None:
    """Return base and levels, found by exhaustive search, or None."""
    short, long = sorted((height, width))
    for levels in range(1, 6):
        unit = 2**levels
        if short % unit == 0 and long % unit == 0 and 4 <= short // unit <= 7 and short >= 8 and long <= 128:
            return height // unit, width // unit, levels
    return None


def test_supported_sizes_match_a_search() -> None:
    for height in range(1, 140):
        for width in range(1, 140):
            expected = search(height, width)
            if expected is None:
                with pytest.raises(UserError):
                    image_pyramid("dcgan", (3, height, width))
            else:
                assert image_pyramid("dcgan", (3, height, width)) == (3, *expected)


@pytest.mark.parametrize(
    ("size", "remedy"),
    [
        ((30, 30), "32"),
        ((25, 25), "24"),
        ((256, 256), "128"),
        ((2, 2), "8"),
        ((100, 60), "[96,64]"),
        ((61, 99), "[64,96]"),
    ],
)
def test_the_suggested_size_is_supported(size: tuple[int, int], remedy: str) -> None:
    with pytest.raises(UserError) as error:
        image_pyramid("dcgan", (3, *size))
    assert error.value.problem.startswith("network 'dcgan' supports images of 8 to 128 px")
    assert error.value.problem.endswith(f"got {size[0]}x{size[1]}")
    assert (error.value.key, error.value.remedy) == ("shape", f"set it to {remedy}")
    sides = [int(side) for side in remedy.strip("[]").split(",")]
    image_pyramid("dcgan", (3, sides[0], sides[-1]))


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((2,), "got points of dimension 2; choose a network for points"),
        ((5, 32, 32), "1 to 4 channels, got 5"),
        ((32, 32), "got shape"),
    ],
)
def test_unsupported_shapes_are_rejected(shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(UserError, match=words):
        image_pyramid("resnet", shape)


def test_check_shape_accepts_images_and_points() -> None:
    assert check_shape("mlp", [1, 9, 11]) == (1, 9, 11)
    assert check_shape("mlp", [2]) == (2,)
    for shape in ([], [3, 4], [0, 4, 4], [1, 2, 3, 4]):
        with pytest.raises(UserError, match="network 'mlp'"):
            check_shape("mlp", shape)


def test_images_with_sides_of_a_multiple() -> None:
    for height in range(1, 40):
        for width in range(1, 40):
            if height in range(8, 40, 4) and width in range(8, 40, 4):
                assert check_image("unet", [3, height, width], 4) == (3, height, width)
            else:
                with pytest.raises(UserError, match=f"multiples of 4, got {height}x{width};") as error:
                    check_image("unet", [3, height, width], 4)
                remedy = str(error.value.remedy).removeprefix("set it to ").strip("[]").split(",")
                near = int(remedy[0]), int(remedy[-1])
                check_image("unet", [3, *near], 4)
                assert all(abs(a - b) <= 2 or a == 8 for a, b in zip(near, (height, width), strict=True))
    with pytest.raises(UserError, match="got points of dimension 2"):
        check_image("unet", [2])
