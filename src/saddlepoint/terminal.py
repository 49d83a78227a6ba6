"""Printing to the terminal. Text is printed as it is, since what users write may look like markup or emoji codes."""

from __future__ import annotations

from rich.console import Console


def console(stderr: bool = False, width: int | None = None) -> Console:
    """Return a console that prints text without interpreting markup and emoji codes, and without highlighting.

    Args:
        stderr: whether to print to stderr instead of stdout.
        width: width in columns where the output is not a terminal; None: 80.
    """
    made = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    if width is not None and not made.is_terminal:
        made.width = width
    return made


def say(line: str) -> None:
    """Print a line to stdout; a long one is not broken, so that paths in it can be copied.

    What stdout cannot encode, such as parts of file names that are not UTF-8, is replaced by question marks.
    """
    out = console()
    out.print(line.encode(out.encoding, "replace").decode(out.encoding), soft_wrap=True)
