"""A status line on stderr for computations that take seconds or minutes."""

from __future__ import annotations

from rich.progress import Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from saddlepoint.terminal import console


def status_line(transient: bool = False) -> Progress:
    """Return a one-line display of a task's description, its progress where the total is known, and the elapsed time.

    Args:
        transient: remove the line at the end.
    """
    columns = (TextColumn("{task.description}", markup=False), TaskProgressColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console(stderr=True), refresh_per_second=2, transient=transient)
