"""A status line on stderr for computations that take seconds or minutes."""

from __future__ import annotations

from rich.progress import Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from saddlepoint.terminal import console


def status_line(transient: bool = False) -> Progress:
    """Return a one-line display of a task's description, its progress where the total is known, and the elapsed time.

    Args:
        transient: remove the line at the end, and show none if stderr is not a terminal.
    """
    columns = (TextColumn("{task.description}", markup=False), TaskProgressColumn(), TimeElapsedColumn())
    shown = console(stderr=True)
    hidden = transient and not shown.is_terminal  # rich would print an empty line
    return Progress(*columns, console=shown, refresh_per_second=2, transient=transient, disable=hidden)
