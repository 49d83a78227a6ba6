"""The exceptions that commands show as one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """An error in the user's input. Commands print it as one line and exit with code 2.

    Parts of a system do not know their keys in the config, so they set ``key`` to the name of one of their arguments,
    such as ``norm``, or of a network's argument, such as ``discriminator.norm``. The code that builds parts from a
    config replaces it by the full key, using :meth:`at`.

    Args:
        problem: what is wrong, without a full stop.
        key: the setting that is wrong, or None if the error is not about a setting.
        remedy: what to do, as an instruction, or None if the problem makes it obvious.
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
        """Return the same error with another key."""
        return type(self)(self.problem, key, self.remedy)


class RunError(Exception):
    """A failure of a run whose input is valid. Commands print it as one line and exit with code 1."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the element of ``known`` whose spelling is closest to ``word``, or None if none is similar."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1)), None)


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """Return a remedy such as ``"did you mean 'batch_size'?"``, or None if no element of ``known`` is similar.

    >>> suggestion("btach_size", ["batch_size", "seed"])
    "did you mean 'batch_size'?"
    """
    near = nearest(word, known)
    return None if near is None else f"did you mean '{near}'?"


def choose(word: str, known: Iterable[str]) -> str:
    """Return a remedy that lists all of ``known``, after a suggestion if one is similar to ``word``.

    >>> choose("bacth", ["batch", "layer"])
    "did you mean 'batch'? The choices are batch, layer"
    >>> choose("x", ["batch", "layer"])
    'choose from batch, layer'
    """
    names = list(known)
    near, listed = suggestion(word, names), ", ".join(names)
    return f"{near} The choices are {listed}" if near else f"choose from {listed}"
