"""Weights & Biases: online if there are an API key and a network, else offline; it never prompts for a login."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import wandb
from PIL import Image
from wandb.errors import CommError, UsageError

from saddlepoint.tracking import wandb_account
from saddlepoint.tracking.run_logger import RunLogger

log = logging.getLogger(__name__)

Mode = Literal["auto", "online", "offline", "disabled"]
PICTURES = "pictures/"
"""Prefix of the keys of pictures: W&B keeps one type for each key, and a score may have the name of a picture."""
SECONDS_TO_START = 20.0
SECONDS_TO_FINISH = 60.0
"""Timeouts. By default, W&B waits indefinitely for a lost connection. Data that are not uploaded stay on disk."""


class WandbRunLogger(RunLogger):
    """Writes to a W&B run. Every call logs ``images_seen``, which is the axis of all plots.

    Args:
        run: the run, from :func:`wandb.init`.
    """

    def __init__(self, run: Any) -> None:
        self._run = run
        self.run_id = str(run.id)

    def log(self, row: Mapping[str, float]) -> None:
        """Write a row."""
        self._run.log(dict(row))

    def log_picture(self, key: str, picture: Image.Image, images_seen: int) -> None:
        """Write a picture."""
        self._run.log({f"{PICTURES}{key}": wandb.Image(picture), "images_seen": images_seen})

    def log_animation(self, key: str, path: Path, images_seen: int) -> None:
        """Write a GIF file."""
        self._run.log({f"{PICTURES}{key}": wandb.Video(str(path)), "images_seen": images_seen})

    def log_files(self, kind: str, paths: Sequence[Path], alias: str, about: Mapping[str, Any]) -> None:
        """Store files as the artifact ``KIND-RUN_ID``; W&B itself adds the alias ``latest``."""
        artifact = wandb.Artifact(f"{kind}-{self.run_id}", type=kind, metadata=dict(about))
        for path in paths:
            artifact.add_file(str(path))
        self._run.log_artifact(artifact, aliases=[alias])

    def alert(self, title: str, text: str) -> None:
        """Send a warning, which W&B forwards to the user by e-mail or Slack."""
        self._run.alert(title=title, text=text)

    def finish(self) -> None:
        """Finish the run, so that the next job of a sweep does not log to it."""
        self._run.finish()


def build(
    directory: Path,
    config: Mapping[str, Any],
    *,
    mode: Mode = "auto",
    project: str = "saddlepoint",
    entity: str | None = None,
    name: str | None = None,
    group: str | None = None,
    tags: list[str] | None = None,
    notes: str | None = None,
    run_id: str | None = None,
) -> WandbRunLogger | None:
    """Start a W&B run, with its files in ``directory/wandb``.

    Args:
        directory: the run's directory.
        config: the run's config as plain containers.
        mode: ``auto``: online, or offline without an API key or a network; ``disabled``: no W&B.
        project: W&B project.
        entity: W&B team or user.
        name: name of the run.
        group: name of the sweep, which groups its runs.
        tags: tags of the run.
        notes: notes on the run, in Markdown.
        run_id: id of the W&B run to continue, or None for a new one.

    Returns:
        The logger, or None if disabled.
    """
    if mode == "disabled" or os.environ.get("WANDB_MODE") == "disabled":
        return None
    reason = why_offline(mode)
    if reason:
        log.info("W&B: %s, so this run is recorded offline (upload it later with `wandb sync`)", reason)
    about = {"project": project, "entity": entity, "name": name, "group": group, "tags": tags, "notes": notes}
    start = partial(_start, directory, config, run_id, about)
    try:
        return start(offline=reason is not None)
    except (UsageError, CommError, TimeoutError) as error:
        first_line = (str(error).splitlines() or [""])[0]
        log.warning("W&B: cannot start online (%s), so this run is recorded offline", first_line)
        wandb.teardown()
        return start(offline=True)


def _start(
    directory: Path, config: Mapping[str, Any], run_id: str | None, about: Mapping[str, Any], offline: bool
) -> WandbRunLogger:
    run = wandb.init(
        dir=str(directory.resolve()),  # absolute: W&B's service process may have another working directory
        config=dict(config),
        mode="offline" if offline else "online",
        job_type="train",
        id=run_id,
        resume="allow" if run_id and not offline else None,
        settings=wandb.Settings(
            init_timeout=SECONDS_TO_START,
            finish_timeout=SECONDS_TO_FINISH,
            silent=True,
            console="off",
            disable_git=True,
            save_code=False,
        ),
        **about,
    )
    run.define_metric("images_seen")
    run.define_metric("*", step_metric="images_seen")
    return WandbRunLogger(run)


def why_offline(mode: Mode) -> str | None:
    """Return why a run is recorded offline, as a clause, or None if it is to be recorded online."""
    if mode == "offline" or (mode == "auto" and os.environ.get("WANDB_MODE") == "offline"):
        return "offline mode is set"
    return wandb_account.unusable()
