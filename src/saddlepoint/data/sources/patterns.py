"""Files given by a pattern, and a name for them."""

from __future__ import annotations

import glob
import re
from pathlib import Path

from saddlepoint.data.sources.splits import HELD_OUT_NAMES, TRAIN_NAMES
from saddlepoint.data.store import MAX_FILES, given_path, status
from saddlepoint.errors import UserError

BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"(\d+)\.\.(\d+)")
SPLIT = re.compile(rf"(?<![a-z])({'|'.join((*TRAIN_NAMES, *HELD_OUT_NAMES))})(?![a-z])")


def expanded(pattern: str) -> list[str]:
    """Return the strings that a pattern with braces stands for, as in a shell.

    >>> expanded("{train,val}-{08..10}.tar")[:4]
    ['train-08.tar', 'train-09.tar', 'train-10.tar', 'val-08.tar']
    """
    match = BRACES.search(pattern)
    if match is None:
        return [pattern]
    if limits := RANGE.fullmatch(match[1]):
        first, last = (int(limit) for limit in limits.groups())
        if last - first >= MAX_FILES:
            raise UserError(f"{pattern}: more than {MAX_FILES:,} files", None, "write a smaller range")
        width = len(limits[1]) if limits[1].startswith("0") else 1
        words = [f"{number:0{width}d}" for number in range(first, last + 1)]
    else:
        words = match[1].split(",")
    return [pattern[: match.start()] + word + rest for word in words for rest in expanded(pattern[match.end() :])]


def matching_files(pattern: str, suffixes: tuple[str, ...], key: str, remedy: str) -> list[Path]:
    """Return the files that a pattern, a folder or a file stands for, of a folder those with one of the suffixes.

    Args:
        pattern: with ``{000..009}``, ``{a,b}``, ``*``, ``?`` and ``[ab]``, or a path.
        suffixes: of the files in a folder and its subfolders.
        key: the argument that the pattern was given as.
        remedy: what the user should do if there are no files.

    Raises:
        UserError: there are none.
    """
    paths: list[Path] = []
    for one in expanded(pattern):
        path = given_path(one)
        if (found := status(path)) is None and glob.has_magic(one):
            paths += map(Path, sorted(glob.glob(str(path), recursive=True)))  # noqa: PTH207 - of absolute patterns
        elif found is not None and path.is_dir():
            paths += sorted(file for suffix in suffixes for file in path.rglob(f"*{suffix}"))
        else:
            paths.append(path)
    if not paths:
        raise UserError(f"{pattern}: no {' or '.join(suffixes)} files", key, remedy)
    return paths


def split_of(path: str) -> str:
    """Return the word in a path that says which split it belongs to, or an empty string.

    >>> split_of("imagenet-train-000001.tar"), split_of("val/01.tar"), split_of("trains.tar")
    ('train', 'val', '')
    """
    match = SPLIT.search(path.lower())
    return match[1] if match else ""


def short_name(pattern: str) -> str:
    """Return a name for the data set, from its folder if the name of the file is nothing but a pattern.

    >>> short_name("shards/cats-{000..009}.tar"), short_name("shards/*.tar")
    ('cats', 'shards')
    """
    for part in reversed(pattern.rstrip("/").split("/")):
        if name := re.sub(r"\{[^{}]*\}|[*?]|\[[^]]*\]|\.(tar|parquet|arrow)$", "", part).strip("-_. "):
            return name
    return "shards"
