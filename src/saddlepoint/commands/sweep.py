"""Sweeps: the folder, a record of each job, and the command line that resumes a sweep."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from saddlepoint import writing
from saddlepoint.config.compose import typed
from saddlepoint.config.directory import groups, options
from saddlepoint.config.mistakes import LAUNCHERS
from saddlepoint.config.overrides import CommandLine, parse, quote
from saddlepoint.config.schema import TrainConfig
from saddlepoint.errors import RunError, UserError
from saddlepoint.tracking import run_directory
from saddlepoint.writing import append_json_line

JOBS = "jobs.jsonl"
"""Name of the file with the record of a sweep's jobs, in the sweep's folder; the last line of a job counts."""
RESUME, LAUNCHER, PLUGINS = "sweep.resume", "hydra/launcher", "plugins"
RESOURCES = (
    *("n_jobs", "name", "timeout_min", "nodes", "tasks_per_node", "cpus_per_task", "gpus_per_node", "gpus_per_task"),
    *("mem_gb", "mem_per_gpu", "mem_per_cpu", "partition", "qos", "account", "constraint", "exclude", "gres"),
    *("array_parallelism", "max_num_timeout", "signal_delay_s"),
)
"""Settings of launchers that cannot name code; shell commands, for instance, can be in ``setup``."""
SETTINGS_OF_HYDRA = re.compile(
    rf"hydra\.(mode|sweep\.(dir|subdir)|sweeper\.max_batch_size|job\.name|launcher\.({'|'.join(RESOURCES)}))"
)
"""Settings of Hydra that a sweep is resumed with, if their values are numbers or single lines without references."""
PARAMS = "hydra.sweeper.params."
"""Hydra makes an override of the jobs from each key below this one; the result is in the record of the sweep."""

_sweep_directory: Path | None = None


class Carried(BaseException):
    """Wraps an exception to pass it through Hydra, which catches every ``Exception`` of callbacks and jobs.

    Args:
        error: the exception that ends the command.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class SweepRecorder(Callback):
    """Hydra callback that checks and stores the folder of a sweep before its first job.

    Args:
        keep: whether the sweep's folder is kept; False for commands whose jobs write elsewhere.
    """

    def __init__(self, keep: bool = True) -> None:
        self.keep = keep

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check that the sweep's folder can be written, and store its name for all jobs."""
        own: Any = OmegaConf.to_container(config.hydra.overrides.hydra, resolve=False)
        given = [override.key_or_group for override in parse(own)]
        if not self.keep and "hydra.sweep.dir" not in given:
            # Hydra writes a file and a folder per job, which are of no use here, so it gets a temporary folder. The
            # override is for the jobs, which compose Hydra's config again.
            scratch = tempfile.mkdtemp(prefix="saddlepoint-")
            weakref.finalize(self, shutil.rmtree, scratch, ignore_errors=True)
            config.hydra.sweep.dir = scratch
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir={quote(scratch)}")
            return
        directory = Path(config.hydra.sweep.dir)
        try:
            if self.keep and _names_one_folder(config):
                raise run_directory.one_folder()
            with writing.folder(directory, [], "set hydra.sweep.dir to a folder that can be written"):
                pass
        except UserError as error:
            raise Carried(error) from None
        config.hydra.sweep.dir = str(directory)
        if self.keep:
            global _sweep_directory
            _sweep_directory = directory


def _names_one_folder(config: DictConfig) -> bool:
    """Whether ``run.dir`` is set, to one or several values; jobs that differ in other settings would share a folder."""
    return bool(config.run.dir) or any(
        override.key_or_group == "run.dir" and override.is_sweep_override() for override in parse(typed(config.hydra))
    )


@contextmanager
def recorded() -> Iterator[None]:
    """Append a line to ``jobs.jsonl`` when this job starts and when it has finished or failed, with any launcher.

    A job whose process is killed has a first line only.
    """
    hydra = HydraConfig.get()
    path = Path(hydra.sweep.dir) / JOBS
    own = [override for override in typed(hydra) if not override.startswith(f"{RESUME}=")]
    job = {"num": hydra.job.num, "overrides": own}
    append_json_line(path, {**job, "status": "started", "error": None})
    try:
        yield
    except Exception as error:
        append_json_line(path, {**job, "status": "failed", "error": described(error)})
        raise
    append_json_line(path, {**job, "status": "done", "error": None})


def described(error: Exception) -> str:
    """Return an error as one line, with its type unless it is a UserError or a RunError."""
    known = isinstance(error, UserError | RunError)
    return (str(error) if known else f"{type(error).__name__}: {error}").splitlines()[0]


def job_number() -> int | None:
    """Return the number of this job in its sweep, counting from 0, or None outside a sweep."""
    hydra = HydraConfig.get()
    return int(hydra.job.num) if hydra.mode is not None and hydra.mode.name == "MULTIRUN" else None


def own_folder(folder: str) -> Path:
    """Return ``folder``, or in a sweep the job's own subfolder of it."""
    number = job_number()
    return Path(folder) if number is None else Path(folder) / str(number)


def ended() -> Path | None:
    """Return the folder of the sweep that this process has run and forget it; None if there is none."""
    global _sweep_directory
    directory, _sweep_directory = _sweep_directory, None
    return directory


def folder_of(directory: Path, number: int) -> Path | None:
    """Return the run's folder of a job of the sweep in ``directory``, the newest if there are several, or None."""
    return max(directory.glob(f"{number}_*"), key=lambda folder: folder.stat().st_mtime_ns, default=None)


def summary(directory: Path, number: int) -> dict[str, Any]:
    """Return the summary of a job of the sweep in ``directory``; empty if its run has not finished."""
    folder = folder_of(directory, number)
    try:
        found: dict[str, Any] = json.loads((folder / "summary.json").read_text()) if folder is not None else {}
    except (OSError, ValueError):  # empty if an earlier version was killed while writing it
        return {}
    return found


def continued(line: CommandLine) -> CommandLine:
    """Return the command line of the sweep that ``sweep.resume`` names; without this key, ``line`` itself.

    The jobs keep their settings, and their numbers. Only settings of Hydra, such as the launcher, may be given besides.

    Raises:
        UserError: if there is no such sweep, or other settings are given.
    """
    given = {override.key_or_group: override for override in parse(line.overrides)} if line.command == "train" else {}
    if RESUME not in given or given[RESUME].value() is None:
        return line
    for key in given:
        if key not in (RESUME, PLUGINS) and not _is_of_hydra(key):
            raise UserError("cannot be changed when a sweep is resumed", key, "leave it out; jobs keep their settings")
    directory = Path(str(given[RESUME].value()))
    try:
        content: Any = OmegaConf.to_container(OmegaConf.load(directory / "multirun.yaml"), resolve=False)
        stored = content["hydra"]
        jobs, sources = _jobs(stored), [*stored["runtime"]["config_sources"]]
        own = [
            one for one in parse(stored["overrides"]["hydra"]) if one.is_delete() or not _key(one).startswith(PARAMS)
        ]
    except (OSError, yaml.YAMLError, OmegaConfBaseException, HydraException, LookupError, TypeError, AttributeError):
        raise UserError(f"no sweep in {directory}", RESUME, "give the folder of a sweep, with multirun.yaml") from None
    for source in sources if line.folder is None else ():
        if source["provider"] == "command-line":
            problem, remedy = "the sweep has a config folder, which can name code", f"add --config-dir={source['path']}"
            raise UserError(problem, RESUME, f"to trust it, {remedy}")
    _check_trusted([*parse(jobs), *own], given, line.folder)
    changed = {key for key in given if _is_of_hydra(key)} | {"hydra.mode", "hydra.sweep.dir"}
    if LAUNCHER in changed:  # the settings of one launcher are not those of another
        changed |= {_key(override) for override in own if _key(override).startswith("hydra.launcher.")}
    folder = quote(str(directory))
    overrides = (
        *(override for override in jobs if not override.startswith(f"{RESUME}=")),
        *(str(override.input_line) for override in own if _key(override) not in changed),
        *(str(override.input_line) for key, override in given.items() if _is_of_hydra(key)),
        f"hydra.sweep.dir={folder}",
        f"{RESUME}={folder}",
    )
    options = line.options if line.multirun else (*line.options, "--multirun")
    return replace(line, overrides=overrides, options=options, multirun=True)


def _jobs(stored: Mapping[str, Any]) -> list[str]:
    """Return the overrides of a sweep's jobs: those of its experiment, if it defines a sweep, and those of its line.

    The experiment's file may have changed since, so its values are taken from the sweep's folder as well.
    """
    params = [f"{key}={values}" for key, values in (stored.get("sweeper", {}).get("params") or {}).items()]
    listed = parse([*params, *stored["overrides"]["task"]])
    return [*{override.get_key_element(): str(override.input_line) for override in listed}.values()]


def _check_trusted(stored: Sequence[Override], given: Mapping[str, Override], folder: str | None) -> None:
    """Check that the folder of a sweep, which may be someone else's, names no code that the user has not named again.

    Args:
        stored: the overrides in the folder.
        given: those on the command line, by their keys.
        folder: the folder of the user's own configs.

    Raises:
        UserError: if it names plugins, settings of Hydra that can name code, or keys or choices that do not exist,
            which are not on the command line.
    """
    if PLUGINS in given and not any(_key(override) == PLUGINS for override in stored):
        raise UserError("the sweep has no plugins", PLUGINS, "leave it out; jobs keep their settings")
    for override in stored:
        key = _key(override)
        if _can_run_code(override, folder) and (key not in given or given[key].input_line != override.input_line):
            raise UserError(
                "can run code, so it is not taken from the sweep's folder",
                key,
                f"to trust it, add {' '.join(str(override.input_line).split())}",
            )


def _can_run_code(override: Override, folder: str | None) -> bool:
    """Return whether an override names code, or a file outside the folders of configs, which can."""
    key = _key(override)
    if override.package is not None or _first(key) == PLUGINS:
        return True
    if _is_of_hydra(key):
        return not _is_harmless(override)
    if key not in groups(folder):
        return _first(key) not in TrainConfig.model_fields  # keys of the config are checked as on a command line
    if override.is_delete():
        return False
    text = re.sub(r"\b(choice|sort|shuffle)\(", "(", str(override.input_line).partition("=")[2])
    words = {word for word in re.split(r"[\s,\[\]()'\"]+", text) if word}
    return not words <= {"null", *options(key, folder)}


def _is_harmless(override: Override) -> bool:
    """Return whether a setting of Hydra cannot name code. Launchers write strings into scripts, line by line."""
    if override.is_delete():
        return _key(override).startswith(PARAMS)
    if override.is_sweep_override():
        return False
    value = override.value()
    if _key(override) == LAUNCHER:
        return value in ("basic", *LAUNCHERS)
    if isinstance(value, str) and ("${" in value or not value.isprintable()):
        return False
    scalar = value is None or isinstance(value, int | float | str)
    return scalar and bool(SETTINGS_OF_HYDRA.fullmatch(_key(override)))


def _key(override: Override) -> str:
    return str(override.key_or_group)


def _first(key: str) -> str:
    return re.split(r"[./]", key)[0]


def _is_of_hydra(key: str) -> bool:
    return _first(key) == "hydra"
