"""Functions of trees. A tree is a tensor, None, or a tuple, list, dictionary or dataclass of trees.

Batches, latents, and pairs of samples and codes are trees, which can be split, moved and gathered independently of
their structure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor

Tree = Any
"""A tensor, None, or a container of trees."""

T = TypeVar("T")


def map_tree(function: Callable[..., Any], tree: T, *others: Any) -> T:
    """Return a tree of the same structure with tensors ``function(tensor, *tensors of the other trees)``.

    >>> map_tree(lambda x: x + 1, {"a": torch.zeros(1), "b": None})
    {'a': tensor([1.]), 'b': None}

    Raises:
        TypeError: a leaf is not a tensor.
    """
    result: Any
    if isinstance(tree, Tensor):
        result = function(tree, *others)
    elif tree is None:
        result = None
    elif isinstance(tree, Mapping):
        result = {key: map_tree(function, value, *(other[key] for other in others)) for key, value in tree.items()}
    elif isinstance(tree, tuple | list):
        parts = [map_tree(function, *values) for values in zip(tree, *others, strict=True)]
        result = type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    elif dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        names = [field.name for field in dataclasses.fields(tree)]
        parts = [map_tree(function, *(getattr(one, name) for one in (tree, *others))) for name in names]
        result = type(tree)(**dict(zip(names, parts, strict=True)))
    else:
        raise TypeError(f"leaves of a tree must be tensors, got {type(tree).__name__}")
    return result


def leaves(tree: Tree) -> Iterator[Tensor]:
    """Yield a tree's tensors in order."""
    if isinstance(tree, Tensor):
        yield tree
    elif tree is not None:
        if isinstance(tree, Mapping):
            parts: Any = tree.values()
        elif dataclasses.is_dataclass(tree) and not isinstance(tree, type):
            parts = (getattr(tree, field.name) for field in dataclasses.fields(tree))
        else:
            parts = tree
        for part in parts:
            yield from leaves(part)


def length(tree: Tree) -> int:
    """Return the size of the first dimension, which all tensors of a tree share; 0 for an empty tree."""
    return next((len(tensor) for tensor in leaves(tree)), 0)


def take(tree: T, rows: slice | Tensor) -> T:
    """Return the selected rows of every tensor."""
    return map_tree(lambda tensor: tensor[rows], tree)


def split(tree: T, count: int) -> list[T]:
    """Return ``count`` trees with consecutive rows, as views, of the same sizes as those of ``torch.tensor_split``."""
    n, rest = divmod(length(tree), count)
    edges = [i * n + min(i, rest) for i in range(count + 1)]
    return [take(tree, slice(*pair)) for pair in pairwise(edges)]


def concatenate(*trees: T) -> T:
    """Return the concatenation of trees along the first dimension."""
    return map_tree(lambda *tensors: torch.cat(tensors), *trees)


def to(tree: T, device: torch.device | str) -> T:
    """Return the tree on a device."""
    return map_tree(lambda tensor: tensor.to(device), tree)
