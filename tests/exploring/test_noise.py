"""Classes that are chosen on the command line."""

from __future__ import annotations

import pytest

from saddlepoint.config.overrides import parse
from saddlepoint.errors import UserError
from saddlepoint.exploring.noise import numbers

NAMES = ("1", "2", "3")


def chosen(value: str, names: tuple[str, ...]) -> list[int]:
    (override,) = parse([f"labels={value}"])
    return numbers(override.value(), names)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "names", "classes"),
    [
        ("'1'", NAMES, [0]),  # in quotes it is a name
        ("['2','1']", NAMES, [1, 0]),
        ("3", NAMES, [2]),  # there is no class number 3
        ("0", NAMES, [0]),  # there is no class named 0
        ("[7,2]", tuple("0123456789"), [7, 2]),  # name and number are the same class
        ("[dog,0]", ("cat", "dog"), [1, 0]),
        ("10", ("10", "20"), [0]),
    ],
)
def test_a_name_comes_before_a_number(value: str, names: tuple[str, ...], classes: list[int]) -> None:
    assert chosen(value, names) == classes


@pytest.mark.parametrize("value", ["1", "['3',1]"])
def test_what_could_be_both_is_refused(value: str) -> None:
    with pytest.raises(UserError) as caught:
        chosen(value, NAMES)
    assert caught.value.problem == "1 is the name of class 0, and the number of class '2'"
    assert caught.value.remedy == """quote the name: labels="'1'" or labels="'2'\""""
