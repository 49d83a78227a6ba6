"""The name of the program that the user runs, for the commands that are printed as advice."""

from __future__ import annotations

import sys
from pathlib import Path


def program(command: str) -> str:
    """Return ``python COMMAND.py`` if this process was started by a script of the checkout, else the console script."""
    script = Path(getattr(sys.modules["__main__"], "__file__", None) or "")
    in_checkout = script.name in ("train.py", "evaluate.py", "sample.py", "explore.py", "report.py")
    return f"python {command}.py" if in_checkout else f"saddlepoint {command}"
