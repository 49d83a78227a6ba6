"""The console: ``saddlepoint train|evaluate|sample …``, and the scripts of the same names."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import hydra
from omegaconf import DictConfig

import saddlepoint
from saddlepoint import __version__
from saddlepoint.commands import safety, sweep
from saddlepoint.commands.composition import check_overrides, one_line, understood
from saddlepoint.errors import RunError, UserError

COMMANDS = ("train", "evaluate", "sample")
USAGE = f"""saddlepoint {__version__}: train, measure and compare GANs

  saddlepoint train model=dcgan data=mnist        train a model; `saddlepoint train --help` lists all choices
  saddlepoint evaluate checkpoint=RUN             score a checkpoint
  saddlepoint sample checkpoint=RUN n=64          sample from a checkpoint

In a checkout, `python train.py …` is the same as `saddlepoint train …`."""


def main(command: str | None = None, arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 when it worked, 2 for a mistake in the input, 1 for a failed sweep.

    Args:
        command: its name; the first argument by default.
        arguments: the command line; the process's own by default.
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
            raise UserError(f"unknown command '{command}'; the commands are {', '.join(COMMANDS)}")
        run(command, arguments)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except RunError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
    except KeyboardInterrupt:  # before training or after it; within, the run saves first
        sys.stderr.write("interrupted\n")
        sys.exit(130)


def run(command: str, arguments: Sequence[str]) -> None:
    """Compose the command's config from the arguments, and run it; once, or once a job with ``-m``."""
    # Before torch is imported by anything: no file that is loaded may run code, whoever loads it.
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    if not os.environ.get("SADDLEPOINT_DATA"):
        os.environ.pop("SADDLEPOINT_DATA", None)  # set to nothing is as good as unset: no data belong here
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions reach us, and become one line
    arguments = understood(command, arguments)
    sys.argv = [f"{command}.py", *arguments]
    module = importlib.import_module(f"saddlepoint.commands.{command}")
    quiet()
    with safety.checking():
        _run_checked(command, arguments, module)


def _run_checked(command: str, arguments: Sequence[str], module: ModuleType) -> None:
    check_overrides(command, arguments)
    entry = hydra.main(config_path=str(config_directory()), config_name=command, version_base="1.3")(
        _task(module.run, command)
    )
    try:
        entry()
    except Exception as error:
        line = str(error) if isinstance(error, UserError) else one_line(error, command)
        if sweep.is_running():
            # Hydra has let every job finish, and shows the first failure; the table shows them all.
            sweep.print_table()
            sys.stderr.write(f"error: a job of the sweep failed: {line or f'{type(error).__name__}: {error}'}\n")
            sys.exit(1)
        if line is None:
            raise
        raise UserError(line) from None
    sweep.print_table()


def _task(function: Callable[[DictConfig], Any], command: str) -> Callable[[DictConfig], Any]:
    """End a single run at once on a user's mistake; in a sweep, let Hydra go on with the other jobs."""

    def task(config: DictConfig) -> Any:
        try:
            return function(config)
        except RunError as error:
            if sweep.is_running():
                raise
            sys.stderr.write(f"error: {error}\n")
            sys.exit(1)
        except Exception as error:
            line = str(error) if isinstance(error, UserError) else one_line(error, command)
            if line is None:
                raise
            if sweep.is_running():
                raise UserError(line) from None
            sys.stderr.write(f"error: {line}\n")
            sys.exit(2)

    return task


def config_directory() -> Path:
    """Return ``conf/``: beside ``src/`` in a checkout, inside the package when installed."""
    package = Path(saddlepoint.__file__).parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parents[1] / "conf"


class _Stderr(logging.Handler):
    """Writes to whatever stderr is now, so that a live progress bar makes room for the line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line."""
        sys.stderr.write(self.format(record) + "\n")


def quiet() -> None:
    """Keep the stack's notices off the terminal: what matters is said by us."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[_Stderr()], force=True)
    for name in ("pytorch_lightning", "lightning", "lightning_fabric", "wandb", "matplotlib", "PIL", "torch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    warnings.filterwarnings("ignore", module="lightning_fabric")
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
