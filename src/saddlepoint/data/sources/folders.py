"""Finding the images of a folder or zip file, and the files in it that are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from saddlepoint.data.archive import open_store
from saddlepoint.data.images import HEIC, NAMES, SUFFIXES
from saddlepoint.data.store import Store
from saddlepoint.errors import UserError

IMAGES = f"{NAMES.replace(' or ', ' and ')} images"


@dataclass(frozen=True)
class Found:
    """The files of a folder or zip file.

    Names are relative to the innermost folder that contains all images.

    Attributes:
        store: the folder or archive.
        images: the names in the store of the images, by relative name.
        others: those of files that are not images.
    """

    store: Store
    images: Mapping[str, str]
    others: Mapping[str, str]

    def left_out(self, used: Collection[str]) -> dict[str, int]:
        """Return the numbers of files that are not used: others by their suffix, images by their first folder.

        Args:
            used: names in the store.
        """
        used = set(used)
        suffixes = (suffix_of(name) or name.split("/")[-1] for name, file in self.others.items() if file not in used)
        folders = (
            f"{name.split('/')[0]}/" if "/" in name else suffix_of(name)
            for name, file in self.images.items()
            if file not in used
        )
        return dict((Counter(suffixes) + Counter(folders)).most_common())


def find_images(path: Path, remedy: str, key: str = "root", ignore: Sequence[str] = ()) -> Found:
    """Find the images in a folder or zip file.

    Args:
        path: the folder or file.
        remedy: what the user should do if ``path`` cannot be used.
        key: the argument that the path was given as.
        ignore: files that are treated as missing: suffixes such as ``.tif``, or patterns of names such as ``*_mask.*``.

    Raises:
        UserError: ``path`` cannot be opened or has no images.
    """
    store = open_store(path, remedy, key)
    images: list[str] = []
    others: list[str] = []
    for name in store.names():
        if not _ignored(name, ignore):
            (images if suffix_of(name) in SUFFIXES else others).append(name)
    if not images:
        inside = f", only {listed(Counter(map(suffix_of, others)))}" if others else ""
        raise UserError(f"{path}: no images inside{inside}", key, _heic_remedy(others) or remedy)
    depth = common_depth(images)
    outer = "".join(f"{folder}/" for folder in images[0].split("/")[:depth])
    return Found(
        store,
        {name.removeprefix(outer): name for name in images},
        {name.removeprefix(outer): name for name in others},
    )


def suffix_of(name: str) -> str:
    """Return the suffix of a name in lower case, or an empty string.

    >>> suffix_of("cat/1.PNG"), suffix_of("v1.0/README")
    ('.png', '')
    """
    file = name.split("/")[-1]
    return file[file.rfind(".") :].lower() if "." in file else ""


def _ignored(name: str, ignore: Sequence[str]) -> bool:
    return any(
        suffix_of(name) == pattern.lower() if pattern.startswith(".") else fnmatchcase(name.split("/")[-1], pattern)
        for pattern in ignore
    )


def common_depth(names: Iterable[str]) -> int:
    """Return the number of outer folders that all names share."""
    parts = [name.split("/") for name in names]
    depth = 0
    while all(len(part) > depth + 1 and part[depth] == parts[0][depth] for part in parts):
        depth += 1
    return depth


def listed(counts: Mapping[str, int], most: int = 5) -> str:
    """Return numbers of files by suffix as text.

    >>> listed({".tif": 100, "": 2})
    '.tif 100, no suffix 2'
    """
    some = [f"{suffix or 'no suffix'} {number}" for suffix, number in list(counts.items())[:most]]
    return ", ".join([*some, "…"] if len(counts) > most else some)


def refuse_in_classes(path: Path, others: Sequence[str]) -> None:
    """Refuse files in class folders that cannot be read: without them, classes would be smaller or missing.

    Args:
        path: the folder or zip file.
        others: the names of such files.

    Raises:
        UserError: there are any.
    """
    if not others:
        return
    counts = dict(Counter(map(suffix_of, others)).most_common())
    example = {suffix_of(name): name.split("/")[-1] for name in others}
    patterns = [suffix or example[suffix] for suffix in counts]
    problem = f"{path}: {len(others)} file(s) in class folders cannot be read as images ({listed(counts)})"
    remedy = f"convert or remove them, or set data.source.ignore=[{','.join(patterns)}]"
    raise UserError(problem, None, _heic_remedy(others) or remedy)


def _heic_remedy(names: Iterable[str]) -> str | None:
    if any(suffix_of(name) in HEIC for name in names) and not SUFFIXES.issuperset(HEIC):
        return 'install the reader of HEIC files: pip install "saddlepoint[heic]"'
    return None
