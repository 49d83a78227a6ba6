"""The one exception that a user's mistake raises."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in the input: one line that says what is wrong, where, and what to do. Commands exit with code 2."""


class RunError(Exception):
    """A run that failed through no mistake in its input: one line that says what, and how to go on. Exit code 1."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'batch_size'?"`` for a near miss among ``known``, else an empty string.

    >>> did_you_mean("btach_size", ["batch_size", "seed"])
    "; did you mean 'batch_size'?"
    >>> did_you_mean("zzz", ["batch_size", "seed"])
    ''
    """
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""
