"""Imports each module named on the command line in a separate process, and prints those that succeed.

The processes are forks of this one, which imports only the third-party packages that the modules import.
"""

import ast
import gc
import importlib
import importlib.util
import os
import sys
import traceback
from pathlib import Path


def load_other_packages(folder: Path) -> None:
    """Import the third-party packages that the files in a directory import at their top level."""
    names = set()
    for path in folder.rglob("*.py"):
        for statement in ast.parse(path.read_text()).body:
            if isinstance(statement, ast.Import):
                names |= {alias.name for alias in statement.names}
            elif isinstance(statement, ast.ImportFrom):
                names.add(str(statement.module))
    for name in sorted(names):
        if name.partition(".")[0] != "saddlepoint":
            importlib.import_module(name)


def imports(name: str) -> bool:
    """Return whether a fork of this process can import a module."""
    child = os.fork()
    if child == 0:
        try:
            importlib.import_module(name)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


if __name__ == "__main__":
    spec = importlib.util.find_spec("saddlepoint")
    assert spec is not None
    assert spec.origin is not None
    load_other_packages(Path(spec.origin).parent)
    gc.disable()  # garbage collection would copy memory that the forks share
    assert not any(name.partition(".")[0] == "saddlepoint" for name in sys.modules)
    sys.stdout.write("\n".join(name for name in sys.argv[1:] if imports(name)))
