"""Every module can be imported first, since there are no circular imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import saddlepoint

PROGRAM = Path(__file__).with_name("first_import_program.py")
SOURCES = Path(saddlepoint.__file__).parent.parent
DISCOVERY = "saddlepoint.discovery"


def find_modules(sources: Path) -> dict[str, Path]:
    """Return all modules in a directory by name, except programs."""
    paths = [path for path in sources.rglob("*.py") if path.name != "__main__.py"]
    return {".".join(path.relative_to(sources).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def executed(statements: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports that are executed on import: not those in functions or under TYPE_CHECKING."""
    for statement in statements:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield statement
        elif isinstance(statement, ast.If) and ast.unparse(statement.test).endswith("TYPE_CHECKING"):
            yield from executed(statement.orelse)
        elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            for block in ("body", "orelse", "handlers", "finalbody"):
                yield from executed(getattr(statement, block, []))


def needed(name: str, modules: Mapping[str, Path]) -> set[str]:
    """Return the modules that must be fully imported before a module.

    A package is imported before its modules, so an import of a module also needs its package, except in modules of
    the package itself. ``from package import module`` needs the module.
    """
    found = set()
    for statement in executed(ast.parse(modules[name].read_text()).body):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
        else:
            targets = [f"{statement.module}.{alias.name}" for alias in statement.names]
            found |= {target if target in modules else str(statement.module) for target in targets}
    if DISCOVERY in found:
        found |= {other for other in modules if other.rpartition(".")[0] == name}  # imports all its files
    parts = [other.split(".") for other in found]
    packages = {".".join(names[:end]) for names in parts for end in range(1, len(names))}
    outside = {package for package in packages if not f"{name}.".startswith(f"{package}.")}
    return ((found | outside) & modules.keys()) - {name}


def cycle(modules: Mapping[str, Path]) -> list[str]:
    """Return a cycle of modules in which each needs the next, or an empty list."""
    try:
        TopologicalSorter({name: needed(name, modules) for name in modules}).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_there_are_no_circular_imports() -> None:
    modules = find_modules(SOURCES)
    assert len(modules) > 150
    assert needed("saddlepoint.losses", modules) >= {"saddlepoint.discovery", "saddlepoint.losses.hinge"}
    assert "saddlepoint.metrics.rows" in needed("saddlepoint.metrics.real", modules)
    assert cycle(modules) == []


@pytest.mark.parametrize(
    ("files", "works"),
    [
        ({"a.py": "from b import f\ng = 1", "b.py": "from a import g\nf = 1"}, False),
        ({"a.py": "from b import f\ng = 1", "b.py": "def f():\n    from a import g"}, True),
        ({"p/__init__.py": "from p.a import f", "p/a.py": "from p import b\nf = 1", "p/b.py": ""}, True),
        ({"p/__init__.py": "from p.a import f\ng = 1", "p/a.py": "from p import g\nf = 1"}, False),
        (  # can be imported from p.a, but not from p.q
            {
                "p/__init__.py": "",
                "p/a.py": "from p.q import f\ng = 1",
                "p/q/__init__.py": "from p.q.b import f",
                "p/q/b.py": "from p.a import g\nf = 1",
            },
            False,
        ),
    ],
)
def test_cycles_are_the_imports_that_fail_in_some_order(files: Mapping[str, str], works: bool, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    modules = find_modules(tmp_path)
    codes = [subprocess.run([sys.executable, "-c", f"import {name}"], cwd=tmp_path).returncode for name in modules]
    assert (set(codes) == {0}) == works
    assert (cycle(modules) == []) == works


def test_every_module_can_be_imported_first() -> None:
    """Each is imported in a forked process that has loaded only third-party packages, whose import takes seconds."""
    names = sorted(find_modules(SOURCES))
    assert "saddlepoint.metrics.real" in names
    done = subprocess.run([sys.executable, PROGRAM, *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == names, done.stderr
