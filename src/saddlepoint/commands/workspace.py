"""``python report.py wandb=ENTITY/PROJECT``: saves a W&B workspace that compares the runs of a project or a sweep."""

from __future__ import annotations

import itertools
import sys
from typing import Any

from omegaconf import DictConfig

from saddlepoint.errors import UserError
from saddlepoint.report import workspace
from saddlepoint.report.workspace import Recorded

OF_REPORTS = {"format": "html", "out": None, "overwrite": False, "metrics": None, "value": "last", "watch": False}
"""Keys that apply to ``runs=`` only, with their defaults."""
MOST_RUNS = 500
"""Number of runs, the newest, whose keys and settings are read."""


def save(config: DictConfig) -> None:
    """Read what the runs have logged, save the workspace and print its URL.

    Raises:
        UserError: the name is malformed, W&B cannot be used, or there are no runs.
    """
    entity, project, sweep = parse(config.wandb)
    for key, default in OF_REPORTS.items():
        if config[key] != default:
            raise UserError("applies only to runs=", key, "leave it out")
    workspace.check_installed()
    from saddlepoint.tracking import wandb_account  # imports wandb, which a report from folders does not need

    with wandb_account.api("wandb") as api:
        built = workspace.build(entity, project, read(api, entity, project, sweep), sweep)
        built.save()
        sys.stdout.write(f"workspace saved: {built.url}\n")


def parse(name: str) -> tuple[str, str, str | None]:
    """Return entity, project and sweep.

    >>> parse("me/mnist"), parse("me/mnist/2026-11-28_15-59-13-539012")
    (('me', 'mnist', None), ('me', 'mnist', '2026-11-28_15-59-13-539012'))

    Raises:
        UserError: the name has another form.
    """
    parts = name.split("/")
    if len(parts) not in (2, 3) or not all(part.strip() for part in parts):
        raise UserError(f"'{name}' is not of the form ENTITY/PROJECT or ENTITY/PROJECT/SWEEP", "wandb")
    return parts[0], parts[1], parts[2] if len(parts) == 3 else None


def read(api: Any, entity: str, project: str, sweep: str | None) -> list[Recorded]:
    """Return the newest runs of a project or of a sweep, which is a group of runs or a W&B sweep.

    Args:
        api: W&B's public API.
        entity: the W&B user or team.
        project: the W&B project.
        sweep: the name of the group or the id of the W&B sweep; None for all runs.
    """
    chosen = None if sweep is None else {"$or": [{"group": sweep}, {"sweep": sweep}]}
    runs = api.runs(f"{entity}/{project}", filters=chosen, order="-created_at", lazy=False)
    return [
        Recorded(run.id, run.config, dict(run.summary_metrics), run.group) for run in itertools.islice(runs, MOST_RUNS)
    ]
