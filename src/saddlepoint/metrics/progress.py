"""One line on stderr while something takes its time."""

from __future__ import annotations

from rich.console import Console
from rich.progress import Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn


def line(transient: bool = False) -> Progress:
    """Return a display of one line: what is being done, how much of it is where a total is known, and for how long.

    Args:
        transient: whether the line vanishes at the end.
    """
    columns = (TextColumn("{task.description}"), TaskProgressColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), refresh_per_second=2, transient=transient)
