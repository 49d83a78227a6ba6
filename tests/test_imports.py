"""The direction of imports: commands → callbacks, tracking → systems → networks, losses, …, data → types."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import saddlepoint

PACKAGE = Path(saddlepoint.__file__).parent
PARTS = {"augment", "networks", "losses", "regularizers", "metrics", "data"}
MAY_IMPORT = {
    "types": {"types"},
    "errors": set(),
    "randomness": set(),
    "discovery": set(),
    "ranks": set(),
    "parts": set(),
    "compilation": set(),
    "augment": {"augment"},
    "networks": {"networks"},
    "losses": {"losses", "networks"},
    "regularizers": {"regularizers", "losses", "augment", "networks"},
    "metrics": {"metrics"},
    "data": {"data"},
    "systems": {"systems", "networks", "losses", "regularizers", "augment", "metrics"},
    "tracking": {"tracking", "systems", *PARTS},
    "callbacks": {"callbacks", "tracking", "systems", *PARTS},
    "commands": {"commands", "callbacks", "tracking", "systems", *PARTS},
}
EVERYBODY = {"types", "errors", "randomness", "discovery", "ranks", "parts", "compilation", "__version__"}
FORBIDDEN = {
    "networks": {"pytorch_lightning", "hydra", "wandb", "omegaconf"},
    "losses": {"pytorch_lightning", "hydra", "wandb", "omegaconf"},
    "regularizers": {"pytorch_lightning", "hydra", "wandb", "omegaconf"},
    "augment": {"pytorch_lightning", "hydra", "wandb", "omegaconf"},
    "metrics": {"pytorch_lightning", "hydra", "wandb", "omegaconf"},
    "data": {"hydra", "wandb", "omegaconf"},
    "systems": {"hydra", "wandb", "omegaconf"},
    "callbacks": {"hydra", "omegaconf"},
    "tracking": {"hydra", "omegaconf"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Return all modules that a file imports, also within functions, but for types only."""
    tree = ast.parse(path.read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room == "__init__":
        assert not [name for name in imports(path) if name.startswith("saddlepoint")]
        return
    for name in imports(path):
        top, _, rest = name.partition(".")
        assert top not in FORBIDDEN.get(room, set()), f"{path} imports {name}"
        if top == "saddlepoint" and rest:
            other = rest.split(".")[0]
            assert other in MAY_IMPORT[room] | EVERYBODY, f"{path} imports {name}"


def test_every_room_is_in_the_table() -> None:
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES} - {"__init__"}
    assert rooms == set(MAY_IMPORT)
