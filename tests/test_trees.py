"""Functions of trees of every kind of container."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from saddlepoint import trees


class Pair(NamedTuple):
    x: Tensor
    z: Tensor | None = None


@dataclass(frozen=True)
class Record:
    a: Tensor
    b: Any = None


def tree(n: int = 7) -> dict[str, Any]:
    """Return a tree with every kind of container and n rows in each tensor."""
    rows = torch.arange(n)
    return {
        "record": Record(rows, [rows + 10, None]),
        "nothing": None,
        "pair": Pair(rows.view(n, 1) + 20),
        "tuple": (rows.view(n, 1, 1) + 30.5,),
    }


ROWS = [0, 10, 20, 30.5]
"""The first row of each tensor, in order."""


def test_leaves_are_in_order_and_none_has_no_leaves() -> None:
    assert [leaf.flatten()[0].item() for leaf in trees.leaves(tree())] == ROWS
    assert list(trees.leaves(None)) == []
    (alone,) = trees.leaves(rows := torch.ones(2))
    assert alone is rows


def test_map_preserves_the_structure() -> None:
    mapped = trees.map_tree(lambda tensor: tensor.double() * 2, tree())
    assert [leaf.flatten()[0].item() for leaf in trees.leaves(mapped)] == [2 * row for row in ROWS]
    assert list(mapped) == ["record", "nothing", "pair", "tuple"]
    assert [type(value) for value in mapped.values()] == [Record, type(None), Pair, tuple]
    assert type(mapped["record"].b) is list
    assert mapped["record"].b[1] is None
    assert mapped["pair"].z is None
    assert trees.map_tree(lambda tensor: tensor, OrderedDict(a=torch.ones(1)))["a"].tolist() == [1]


def test_map_of_several_trees() -> None:
    sums = trees.map_tree(lambda a, b, c: a + b - c, tree(), tree(), tree())
    for ours, theirs in zip(trees.leaves(sums), trees.leaves(tree()), strict=True):
        assert torch.equal(ours, theirs)
    with pytest.raises(ValueError, match="shorter"):
        trees.map_tree(lambda a, b: a, (torch.ones(1), torch.ones(1)), (torch.ones(1),))


@pytest.mark.parametrize("other", [3, "abc", torch.nn.Linear(1, 1), Record])
def test_other_leaves_than_tensors_are_rejected(other: Any) -> None:
    with pytest.raises(TypeError, match=f"leaves of a tree must be tensors, got {type(other).__name__}"):
        trees.map_tree(lambda tensor: tensor, {"a": torch.ones(1), "b": (other,)})


def test_length() -> None:
    assert trees.length(tree(5)) == 5
    assert trees.length((None, {}, torch.ones(3, 2))) == 3
    assert trees.length(None) == trees.length({"a": None}) == 0


@pytest.mark.parametrize("rows", [slice(2, 5), slice(None), slice(9, None), torch.tensor([6, 0, 0])])
def test_take(rows: slice | Tensor) -> None:
    for ours, whole in zip(trees.leaves(trees.take(tree(), rows)), trees.leaves(tree()), strict=True):
        assert torch.equal(ours, whole[rows])
    assert trees.take(None, rows) is None


@pytest.mark.parametrize(("n", "count"), [(7, 1), (7, 2), (7, 3), (8, 4), (3, 5), (0, 2)])
def test_split_is_tensor_split_of_every_tensor(n: int, count: int) -> None:
    whole = tree(n)
    pieces = trees.split(whole, count)
    assert len(pieces) == count
    for leaf, *own in zip(trees.leaves(whole), *(trees.leaves(piece) for piece in pieces), strict=True):
        for ours, theirs in zip(own, leaf.tensor_split(count), strict=True):
            assert torch.equal(ours, theirs)
            assert ours.untyped_storage().data_ptr() == leaf.untyped_storage().data_ptr()  # a view
    joined = trees.concatenate(*pieces)
    for ours, theirs in zip(trees.leaves(joined), trees.leaves(whole), strict=True):
        assert torch.equal(ours, theirs)


def test_split_of_trees_whose_first_part_is_empty() -> None:
    first, second = trees.split((None, torch.arange(5)), 2)
    assert first[1].tolist() == [0, 1, 2]
    assert second[1].tolist() == [3, 4]


def test_concatenate() -> None:
    joined = trees.concatenate(Pair(torch.ones(2)), Pair(torch.zeros(1)), Pair(torch.full((1,), 5.0)))
    assert joined.x.tolist() == [1, 1, 0, 5]
    assert joined.z is None
    assert trees.concatenate(None, None) is None


def test_to_moves_every_tensor() -> None:
    moved = trees.to(tree(), "meta")
    assert all(leaf.is_meta for leaf in trees.leaves(moved))
    assert [leaf.shape for leaf in trees.leaves(moved)] == [leaf.shape for leaf in trees.leaves(tree())]
    assert isinstance(moved["record"], Record)
