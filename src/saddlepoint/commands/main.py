"""The entry point of the console script ``saddlepoint`` and of ``train.py`` and the other scripts."""

from __future__ import annotations

import importlib
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from saddlepoint import __version__, processes
from saddlepoint.commands import sweep, sweep_table
from saddlepoint.config import compose, mistakes, overrides, schema
from saddlepoint.config.directory import all_options, config_directory
from saddlepoint.config.secrets import refuse_secrets
from saddlepoint.config.strict import check_schema
from saddlepoint.errors import RunError, UserError, choose
from saddlepoint.program import program

log = logging.getLogger(__name__)

COMMANDS = ("train", "evaluate", "sample", "report", "explore")
USAGE = f"""saddlepoint {__version__}: train, measure and compare GANs

  saddlepoint train model=dcgan data=mnist        train a model; `saddlepoint train --help` lists all choices
  saddlepoint evaluate checkpoint=RUN             score a checkpoint
  saddlepoint sample checkpoint=RUN n=64          sample from a checkpoint
  saddlepoint explore checkpoint=RUN              explore a model with sliders, on a page on this machine
  saddlepoint report runs=outputs                 compare runs on one page

In a checkout, `python train.py …` is the same as `saddlepoint train …`."""


def main(command: str | None = None, arguments: Sequence[str] | None = None) -> None:
    """Run a command. Exit with code 2 for invalid input, and with 1 for a failed run or sweep.

    Args:
        command: the command's name; by default the first argument.
        arguments: the command line; by default that of the process.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if command is None:
        if not arguments or arguments[0] in ("-h", "--help"):
            print(USAGE)  # noqa: T201
            return
        if arguments[0] == "--version":
            print(__version__)  # noqa: T201
            return
        command = arguments.pop(0)
    try:
        if command not in COMMANDS:
            raise UserError(f"unknown command '{command}'", None, choose(command, COMMANDS))
        run(command, arguments)
    except (UserError, RunError) as error:
        if not processes.reported(error):
            sys.stderr.write(f"error: {error}\n")
        sys.exit(2 if isinstance(error, UserError) else 1)
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes it at exit
        sys.exit(128 + signal.SIGPIPE)
    except KeyboardInterrupt:  # before or after training; the Interruption callback handles it during training
        sys.stderr.write("interrupted\n")
        sys.exit(130)


def run(command: str, arguments: Sequence[str]) -> None:
    """Compose the command's config from the arguments and run the command: once, or with ``-m`` once per job.

    Raises:
        UserError: if the input is invalid.
        RunError: if the run, or a job of the sweep, fails.
    """
    # Set before torch is imported: no call of torch.load, of any library, may then run code from a file.
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    if not os.environ.get("SADDLEPOINT_DATA"):
        os.environ.pop("SADDLEPOINT_DATA", None)  # if it is empty, use the default
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises errors instead of printing them
    line = overrides.read(command, arguments)
    with compose.explained(line):
        line = sweep.continued(line)
    refuse_secrets(line.overrides)
    set_up_logging()
    if line.multirun:
        compose.check_jobs(line)
    # For conf/hydra/help.
    OmegaConf.register_new_resolver("choices", lambda: all_options(command, line.folder), replace=True)
    sys.argv = [f"{command}.py", *line.options, *line.overrides]  # read by hydra.main
    entry = hydra.main(config_path=str(config_directory()), config_name=command, version_base="1.3")(_task(line))
    try:
        with compose.explained(line):
            entry()
    except sweep.Carried as carried:
        raise carried.error from carried.error.__cause__
    except Exception as error:
        if (directory := sweep.ended()) is None:
            raise
        # All jobs have ended. Hydra raises only the first failure; the table lists all of them.
        raise _failed(directory, error) from None
    except (SystemExit, KeyboardInterrupt):
        if (directory := sweep.ended()) is not None:
            log.warning("the sweep was stopped; continue with: %s", _resuming(directory))
        raise
    if (directory := sweep.ended()) is not None:
        sweep_table.show(directory)


def _failed(directory: Path, error: Exception) -> RunError:
    """Print the table of a sweep, and return the error that ends the command."""
    jobs = sweep_table.show(directory)
    failed = sum(job.error is not None for job in jobs)
    if not failed:
        return RunError(f"the sweep failed: {sweep.described(error)}")
    return RunError(f"{failed} of {len(jobs)} jobs failed; to run what has not finished: {_resuming(directory)}")


def _resuming(directory: Path) -> str:
    """Return the command that resumes a sweep."""
    return f"{program('train')} {shlex.quote(f'{sweep.RESUME}={directory}')}"


def _task(line: overrides.CommandLine) -> Callable[[DictConfig], Any]:
    """Return the function that Hydra calls for each job. In a sweep, an error ends only its own job.

    The command, and with it torch, is imported last, since that takes seconds; unknown keys and wrong values are
    reported before.
    """

    def task(config: DictConfig) -> Any:
        if not any(isinstance(handler, _Stderr) for handler in logging.root.handlers):
            # A process that a launcher has started. Several of them cannot share a terminal, so rich shows no bar.
            set_up_logging()
            os.environ.setdefault("TTY_COMPATIBLE", "0")
        hydra_config = HydraConfig.get()
        in_sweep = sweep.job_number() is not None
        try:
            with sweep.recorded() if in_sweep and line.command == "train" else nullcontext():
                name, choices = str(hydra_config.job.config_name), hydra_config.runtime.choices
                compose.check_choices(name, choices, compose.typed(hydra_config))
                check_schema(config, schema.of(line.command))
                module = importlib.import_module(f"saddlepoint.commands.{line.command}")
                _quieten_libraries()
                try:
                    return module.run(config)
                except OmegaConfBaseException as error:
                    raise mistakes.in_reading(error) from None
        except Exception as error:
            if in_sweep:
                raise
            raise sweep.Carried(error) from None

    return task


class _Stderr(logging.Handler):
    """Writes to the current ``sys.stderr``, which rich replaces while it shows a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as one line."""
        sys.stderr.write(self.format(record) + "\n")


def set_up_logging() -> None:
    """Print log messages as plain lines, and only errors from other libraries."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[_Stderr()], force=True)
    _quieten_libraries()


def _quieten_libraries() -> None:
    """Let libraries log only errors: before they are imported, and again after, since Lightning then sets its level."""
    for name in ("pytorch_lightning", "lightning_fabric", "wandb", "matplotlib", "PIL", "torch"):
        logging.getLogger(name).setLevel(logging.ERROR)
