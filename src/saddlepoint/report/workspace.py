"""A W&B workspace that compares runs: its sections, panels and table of runs, from what the runs have logged.

A panel is made for what at least one run has logged. Building the workspace needs neither a network nor an account.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import util
from typing import Any

from saddlepoint.errors import UserError
from saddlepoint.metrics.cards import BEST, REAL
from saddlepoint.report import settings
from saddlepoint.report.settings import Setup
from saddlepoint.report.table import direction

IMAGES, SPEED, MEMORY, TIME, EVALUATION = (
    *("images_seen", "images_per_second", "gpu_memory_gib"),
    *("seconds", "evaluation_seconds"),
)
LOSS, REAL_OUTPUTS, FAKE_OUTPUTS = "/loss", "/logits_real", "/logits_fake"
GRADIENTS, RATE = "/weight_gradient_norm", "/learning_rate"
VARIETY = ("duplicates", "support", "class_support", "memorised", "nearest_train")
"""Scores of the section on duplicates and support, without the suffix of their features."""
VARIETY_PICTURES = ("closest_pairs", "duplicate_curve")
PICTURES = ("image-file", "images/separated", "video-file")
"""Types of media in the summary of a W&B run."""
MOST_LINES = 50
"""Runs drawn in each panel."""


@dataclass(frozen=True)
class Recorded:
    """A run as W&B has recorded it.

    Attributes:
        id: the run's id.
        config: its settings as nested containers.
        summary: the last value of each key that it has logged; of pictures, a mapping with their ``_type``.
        group: the group of runs that it belongs to, which is its sweep; or None.
    """

    id: str
    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    group: str | None = None

    @cached_property
    def setup(self) -> Setup | None:
        """The run's settings, or None if it is not a run of Saddlepoint."""
        config = {key: value for key, value in self.config.items() if key != "revision"}
        return Setup.of(config) if isinstance(config.get("choices"), dict) and "seed" in config else None


def check_installed() -> None:
    """Check that the library that workspaces are built with is installed.

    Raises:
        UserError: if not.
    """
    if util.find_spec("wandb_workspaces") is None:
        remedy = "pip install 'saddlepoint[report]'"
        raise UserError("a workspace needs wandb-workspaces, which is not installed", "wandb", remedy)


def build(entity: str, project: str, runs: Sequence[Recorded], sweep: str | None = None) -> Any:
    """Return a workspace, which has not been saved.

    Args:
        entity: the W&B user or team.
        project: the W&B project.
        runs: runs of the project, or of the sweep.
        sweep: the group of runs, or the id of a W&B sweep, that is shown; None for all runs of the project.

    Returns:
        A ``wandb_workspaces.workspaces.Workspace``.

    Raises:
        UserError: none of the runs is a run of Saddlepoint.
    """
    import wandb_workspaces.workspaces as ws

    setups = [run.setup for run in runs if run.setup is not None]
    if not setups:
        place = "/".join([entity, project, *([sweep] if sweep else [])])
        raise UserError(f"no runs of Saddlepoint in {place}", "wandb", "upload runs first, with `wandb sync`")
    keys = Keys.of(runs)
    paths = _paths(setups)
    filters = []
    if sweep is not None:
        grouped = any(run.group == sweep for run in runs)
        filters = [ws.Metric("Group" if grouped else "Sweep") == sweep]
    return ws.Workspace(
        entity=entity,
        project=project,
        name=_plain("Comparison of runs" if sweep is None else f"Sweep {sweep}"),
        sections=[
            ws.Section(name=name, panels=panels, is_open=True)
            for name, panels in _sections(keys, paths, runs).items()
            if panels
        ],
        settings=ws.WorkspaceSettings(x_axis=IMAGES, max_runs=MOST_LINES),
        runset_settings=ws.RunsetSettings(filters=filters, pinned_columns=_columns(keys, paths)),
    )


@dataclass(frozen=True)
class Keys:
    """Keys that runs have logged, in the order in which they first appear.

    Attributes:
        numbers: of numbers.
        pictures: of pictures and animations.
    """

    numbers: Sequence[str]
    pictures: Sequence[str]

    @classmethod
    def of(cls, runs: Iterable[Recorded]) -> Keys:
        """Return the keys in the summaries of runs, without those that W&B adds."""
        items = [item for run in runs for item in run.summary.items() if not item[0].startswith("_")]
        pictures = [key for key, value in items if isinstance(value, Mapping) and value.get("_type") in PICTURES]
        numbers = [key for key, value in items if isinstance(value, int | float) and not isinstance(value, bool)]
        return cls(list(dict.fromkeys(numbers)), list(dict.fromkeys(pictures)))

    def ending(self, *suffixes: str) -> list[str]:
        """Return the keys of numbers that end with one of the suffixes."""
        return [key for key in self.numbers if key.endswith(suffixes)]

    def present(self, *names: str) -> list[str]:
        """Return those of the names that are keys of numbers."""
        return [name for name in names if name in self.numbers]

    @property
    def monitored(self) -> list[str]:
        """The keys of the best value so far of the scores that select best checkpoints."""
        return [key for key in self.ending(BEST) if direction(key.removesuffix(BEST)) is not None]

    @property
    def scores(self) -> list[str]:
        """The keys of scores: those whose direction is known, and those with a value of real images."""
        candidates = [key for key in self.numbers if not key.startswith(REAL) and key not in self.ending(BEST)]
        return [key for key in candidates if direction(key) is not None or f"{REAL}{key}" in self.numbers]


def _sections(keys: Keys, paths: Sequence[str], runs: Sequence[Recorded]) -> dict[str, list[Any]]:
    """Return the panels of each section."""
    variety = [score for score in keys.scores if score.startswith(VARIETY)]
    pictures = {key: key.rpartition("/")[2] for key in keys.pictures}
    diagrams = [key for key, name in pictures.items() if name.startswith(VARIETY_PICTURES)]
    return {
        "Losses": _losses(keys),
        "Scores": [_score(keys, score, runs) for score in keys.scores if score not in variety],
        "Samples": [_media(key) for key in pictures if key not in diagrams],
        "Duplicates and support": [_score(keys, score, runs) for score in variety] + [_media(key) for key in diagrams],
        "Cost": [
            _lines(title, [key])
            for title, key in (
                ("Images per second", SPEED),
                ("GPU memory in GiB", MEMORY),
                ("Training time in seconds", TIME),
                ("Time of an evaluation in seconds", EVALUATION),
            )
            if key in keys.numbers
        ],
        "Importance of settings": _importance(keys, paths),
        "Settings that differ": _differences(),
    }


def _losses(keys: Keys) -> list[Any]:
    """Return panels of losses, outputs of critics, gradient norms, regularizers and learning rates."""
    panels = [_lines(key, [key]) for key in keys.ending(LOSS)]
    outputs = keys.ending(REAL_OUTPUTS, FAKE_OUTPUTS)
    for player in dict.fromkeys(key.partition("/")[0] for key in outputs):
        both = keys.present(f"{player}{REAL_OUTPUTS}", f"{player}{FAKE_OUTPUTS}")
        panels.append(_lines(f"outputs of the critic in turns of {player}", both))
    panels += [_lines(key, [key]) for key in keys.ending(GRADIENTS)]
    players = {key.partition("/")[0] for key in keys.ending(LOSS)}
    drawn = keys.ending(LOSS, REAL_OUTPUTS, FAKE_OUTPUTS, GRADIENTS, RATE)
    others = [key for key in keys.numbers if key.partition("/")[0] in players and key not in drawn]
    return panels + [_lines(key, [key]) for key in (*others, *keys.ending(RATE))]


def _lines(title: str, keys: list[str]) -> Any:
    import wandb_workspaces.reports.v2 as wr

    return wr.LinePlot(title=title, x=IMAGES, y=[*keys])


def _score(keys: Keys, score: str, runs: Sequence[Recorded]) -> Any:
    """Return a panel of a score over images seen, with the value of real images as a dashed line."""
    import wandb_workspaces.reports.v2 as wr

    real = f"{REAL}{score}"
    if real not in keys.numbers:
        return _lines(score, [score])
    dashed = {f"{run.id}:{real}": "dashed" for run in runs[:MOST_LINES]}
    return wr.LinePlot(title=f"{score} (dashed: real images)", x=IMAGES, y=[score, real], line_marks=dashed)


def _media(key: str) -> Any:
    """Return a panel of pictures: a row for each run, a column for each time."""
    import wandb_workspaces.reports.v2 as wr

    title = key.rpartition("/")[2]
    return wr.MediaBrowser(title=title, media_keys=[key], mode="grid", grid_x_axis="step", grid_y_axis="run")


def _importance(keys: Keys, paths: Sequence[str]) -> list[Any]:
    """Return, for each monitored score, the importance of settings and parallel coordinates of those that differ."""
    import wandb_workspaces.reports.v2 as wr

    panels: list[Any] = []
    for key in keys.monitored:
        panels.append(wr.ParameterImportancePlot(with_respect_to=key))
        axes = [*(wr.Config(path) for path in paths), wr.SummaryMetric(key)]
        columns = [wr.ParallelCoordinatesPlotColumn(metric=axis) for axis in axes]
        panels.append(wr.ParallelCoordinatesPlot(title=f"Settings and {key}", columns=columns))
    return panels


def _differences() -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    return [wr.RunComparer(diff_only="split")]


def _columns(keys: Keys, paths: Sequence[str]) -> list[str]:
    """Return the columns of the table of runs: settings that differ, seed, scores and cost."""
    monitored = [name for best in keys.monitored for name in (best, best.removesuffix(BEST))]
    others = [score for score in keys.scores if score not in monitored]
    return [
        *("run:displayName", "run:state"),
        *(f"config:{_value(path)}" for path in (*paths, "seed")),
        *(f"summary:{key}" for key in (*keys.present(*monitored), *others, *keys.present(IMAGES, TIME))),
        "run:duration",
    ]


def _paths(setups: Sequence[Setup]) -> list[str]:
    """Return where W&B's config has the settings that differ, without lists of parts, which have no single value."""
    names = [name for name in settings.differing(setups) if name not in settings.LISTS]
    groups = {group for setup in setups for group in setup.choices}
    return [f"choices.{name}" if name in groups else name for name in names]


def _value(path: str) -> str:
    """Return a path in the form of W&B's columns: the value of the first key, and within it the others."""
    first, dot, rest = path.partition(".")
    return f"{first}.value{dot}{rest}"


def _plain(name: str) -> str:
    """Return a name without the symbols that W&B does not accept in names of views."""
    return "".join("_" if unicodedata.category(character)[0] in "SC" else character for character in name)
