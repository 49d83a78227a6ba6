"""The Git revision of the source code, recorded in score cards and exports."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from saddlepoint import __version__


@cache
def git_revision() -> str:
    """Return the Git revision, with ``+`` appended if there are uncommitted changes; the version outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return f"v{__version__}"
    try:
        asked = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--exclude=*"]
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return f"v{__version__}"
