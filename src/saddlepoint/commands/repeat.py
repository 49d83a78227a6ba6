"""The command line that repeats a run, from the config that the run has stored."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from omegaconf import OmegaConf

from saddlepoint.config.compose import composed
from saddlepoint.config.overrides import NOT_TEXT, quote
from saddlepoint.errors import UserError
from saddlepoint.report.runs import Run
from saddlepoint.report.settings import FOUND, LISTS, Setup, Value

MAIN = ("experiment", "model", "data")
"""Groups whose files choose other groups' options."""
FILLED_IN = (*FOUND, "encoder.sha256", "run", "resume", "sweep")
"""Keys that a run fills in itself, or that a repetition sets anew, with any keys below."""
PLAIN = re.compile(r"[\w./-]*[A-Za-z/][\w./-]*")
"""Matches text that Hydra reads as it is."""


class Repetition:
    """Finds the overrides of runs. Configs are composed once for each combination of choices."""

    def __init__(self) -> None:
        self._composed: dict[tuple[str, ...], Setup | None] = {}

    def overrides(self, run: Run) -> list[str] | None:
        """Return the overrides of a run: those that its sweep has recorded, else those that lead to its config.

        Returns:
            The overrides, or None if its choices do not exist here, as those of a ``--config-dir`` do not.
        """
        if run.overrides is not None:
            return list(run.overrides)
        setup = run.setup
        line = [f"{group}={setup.choices[group]}" for group in MAIN if group in setup.choices]
        base = self._compose(line)
        if base is None:
            return None
        others = {**setup.choices, **{group: setup.choices[group] for group in LISTS}}
        line += [f"{group}={choice}" for group, choice in others.items() if base.choices.get(group) != choice]
        own = self._compose(line)
        if own is None:
            return None
        changed = {key: value for key, value in setup.keys.items() if key not in own.keys or own.keys[key] != value}
        kept = {
            key: value
            for key, value in changed.items()
            if not key.endswith("_target_") and not any(f"{key}.".startswith(f"{name}.") for name in FILLED_IN)
        }
        return [*line, *(_override(key, value, key in own.keys) for key, value in kept.items()), f"seed={setup.seed}"]

    def _compose(self, line: Sequence[str]) -> Setup | None:
        key = tuple(line)
        if key not in self._composed:
            self._composed[key] = _setup(line)
        return self._composed[key]


def _setup(line: Sequence[str]) -> Setup | None:
    try:
        config, choices = composed("train", line)
    except UserError:
        return None
    content: Any = OmegaConf.to_container(config, resolve=False)
    return Setup.of({**content, "choices": choices})


def _override(key: str, value: Value, known: bool) -> str:
    if isinstance(value, str):
        plain = PLAIN.fullmatch(value) and not NOT_TEXT.fullmatch(value) and value != "null"
        text = value if plain or value.startswith(("[", "${")) else quote(value)
    else:
        text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return f"{'' if known else '+'}{key}={text}"


def command(overrides: Sequence[str]) -> str:
    """Return a command line for a shell."""
    return shlex.join(["python", "train.py", *overrides])
