"""The exceptions that commands show as one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in the input. Commands print it as one line and exit with code 2.

    A part of a game names a setting as its own argument, such as ``norm``, or as a network's, such as
    ``discriminator.norm``. Whoever builds parts from a config knows the full key and puts it there with :meth:`at`.

    Args:
        problem: what is wrong, without a full stop.
        key: the setting that is wrong, or None where there is no such setting.
        remedy: what to do, as an instruction, or None where the problem says it.
    """

    def __init__(self, problem: str, key: str | None = None, remedy: str | None = None) -> None:
        super().__init__(problem, key, remedy)
        self.problem, self.key, self.remedy = problem, key, remedy

    def __str__(self) -> str:
        """Return ``key: problem; remedy``.

        >>> str(UserError("must be at least 1, got 0", "batch_size", "raise it"))
        'batch_size: must be at least 1, got 0; raise it'
        """
        where = f"{self.key}: " if self.key else ""
        return f"{where}{self.problem}" + (f"; {self.remedy}" if self.remedy else "")

    def at(self, key: str | None) -> UserError:
        """Return the same mistake with another key."""
        return type(self)(self.problem, key, self.remedy)


class RunError(Exception):
    """A run that failed through no mistake in its input: one line that says what, and how to go on. Exit code 1."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the one of ``known`` that is spelt most like ``word``, or None if none comes near."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1)), None)


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """Return ``"did you mean 'batch_size'?"``, as a remedy, for a near miss among ``known``, else None.

    >>> suggestion("btach_size", ["batch_size", "seed"])
    "did you mean 'batch_size'?"
    """
    near = nearest(word, known)
    return None if near is None else f"did you mean '{near}'?"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'batch_size'?"`` for a near miss among ``known``, else an empty string.

    >>> did_you_mean("btach_size", ["batch_size", "seed"])
    "; did you mean 'batch_size'?"
    >>> did_you_mean("zzz", ["batch_size", "seed"])
    ''
    """
    near = suggestion(word, known)
    return f"; {near}" if near else ""
