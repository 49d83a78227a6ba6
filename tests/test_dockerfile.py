"""The Dockerfile copies all that the package is built from; the files exist, and .dockerignore does not hide them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_copied_files() -> None:
    copied = set(re.findall(r"(\S+) (?=.*/opt/saddlepoint)", "\n".join(_lines("Dockerfile", "COPY "))))
    assert copied == set(_lines(".dockerignore", "!"))
    assert all((ROOT / name).exists() for name in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = [project["project"]["readme"], *project["project"]["license-files"]]
    needed += project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    assert {name.partition("/")[0] for name in needed} < copied


def _lines(name: str, start: str) -> list[str]:
    """Return the lines of a file that begin with ``start``, without it."""
    return [line.removeprefix(start) for line in (ROOT / name).read_text().splitlines() if line.startswith(start)]
