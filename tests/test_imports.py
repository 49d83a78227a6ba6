"""The direction of imports between rooms, given by the table below."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import saddlepoint

PACKAGE = Path(saddlepoint.__file__).parent
PARTS = {"augment", "networks", "losses", "regularizers", "metrics", "data", "parts", "turns"}
BY_ANY_ROOM = {
    "types",
    "errors",
    "randomness",
    "discovery",
    "ranks",
    "compilation",
    "revision",
    "trees",
    "writing",
    "kinds",
    "schedules",
    "terminal",
    "program",
}
BY_ANY_ROOM |= {"__version__"}
MAY_IMPORT = {
    **{room: set() for room in BY_ANY_ROOM - {"__version__"}},
    "turns": {"networks"},
    "parts": {"turns"},
    "networks": {"networks"},
    "augment": {"augment", "parts", "turns"},
    "losses": {"losses", "networks", "parts", "turns"},
    "regularizers": {"regularizers", "losses", "augment", "networks", "parts", "turns"},
    "metrics": {"metrics"},
    "data": {"data"},
    "systems": {"systems", "networks", "losses", "regularizers", "augment", "metrics", "parts", "turns"},
    "config": {"config", "systems", *PARTS},
    "tracking": {"tracking", "systems", *PARTS},
    "processes": set(),
    "failures": {"processes", "tracking", "systems"},
    "assembly": {"assembly", "processes", "config", "tracking", "systems", *PARTS},
    "evaluation": {"evaluation", "assembly", "config", "tracking", "systems", *PARTS},
    "export": {"export", "assembly", "config", "tracking", "systems", *PARTS},
    "exploring": {"exploring", "evaluation", "assembly", "config", "tracking", "systems", *PARTS},
    "report": {"report", "metrics"},
    "callbacks": {"callbacks", "evaluation", "tracking", "systems", *PARTS},
}
MAY_IMPORT["training"] = {"training", "callbacks", "export", "failures", "processes", *MAY_IMPORT["evaluation"]}
MAY_IMPORT["api"] = {"training", *MAY_IMPORT["training"]}
MAY_IMPORT["commands"] = {"commands", "exploring", "report", "training", *MAY_IMPORT["training"]}
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
    "report": {"torch", "pytorch_lightning", "hydra", "wandb", "omegaconf"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Return all modules that a file imports, including in functions, except under TYPE_CHECKING."""
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
def test_imports_are_in_the_table(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room == "__init__":  # imports its three functions lazily
        ours = {name for name in imports(path) if name.startswith("saddlepoint")}
        assert {name.removeprefix("saddlepoint.").partition(".")[0] for name in ours} == {"api"}
        return
    for name in imports(path):
        top, _, rest = name.partition(".")
        assert top not in FORBIDDEN.get(room, set()), f"{path} imports {name}"
        if top == "saddlepoint" and rest:
            other = rest.split(".")[0]
            assert other in MAY_IMPORT[room] | BY_ANY_ROOM, f"{path} imports {name}"


def test_every_room_is_in_the_table() -> None:
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES} - {"__init__"}
    assert rooms == set(MAY_IMPORT)


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """Return the nodes that can be reached from a node by one or more edges."""
    found: set[str] = set()
    left = [*graph.get(start, ())]
    while left:
        node = left.pop()
        if node not in found:
            found.add(node)
            left += graph.get(node, ())
    return found


def test_the_diagram_of_rooms_matches_the_source() -> None:
    """Its arrows are imports, and its transitive closure is that of the imports."""
    page = (PACKAGE.parents[1] / "docs" / "architecture.md").read_text()
    drawn: dict[str, set[str]] = {}
    for above, below in re.findall(r"^ +(\w+) --> (\w+)$", page, re.MULTILINE):
        drawn.setdefault(above, set()).add(below)
    real: dict[str, set[str]] = {}
    for path in FILES:
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        others = {name.split(".")[1] for name in imports(path) if name.startswith("saddlepoint.")}
        real.setdefault(room, set()).update(others - BY_ANY_ROOM - {room})
    for above, below in drawn.items():
        assert below <= real[above], above
    for room in real.keys() - BY_ANY_ROOM - {"__init__"}:
        assert reachable(drawn, room) == reachable(real, room), room
