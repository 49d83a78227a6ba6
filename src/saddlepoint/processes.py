"""The processes of a run with several devices: torchrun or SLURM starts them, or :func:`launch` does."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
import threading
import time
import uuid
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from saddlepoint.errors import RunError, UserError

LAUNCHER = "SADDLEPOINT_LAUNCHER"
"""Environment variable of processes that :func:`launch` has started: the process that started them."""
ERRORS = "SADDLEPOINT_ERRORS"
"""Environment variable of the same processes: the folder for the errors that end them."""
STOPPED = (130, 143)
"""Exit codes of a run that was told to stop."""
SECONDS_TO_STOP = 10.0
"""For a process to save and end after its launcher has died."""


def rank() -> int:
    """Return this process's rank, also before there is a process group, from what torchrun, SLURM or Lightning set."""
    for name in ("RANK", "SLURM_PROCID"):
        if name in os.environ and ("SLURM" not in name or "SLURM_NTASKS" in os.environ):
            return int(os.environ[name])
    local, node = int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("NODE_RANK", 0))
    return local + node * int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def launched() -> bool:
    """Return whether this process is one of several that a launcher has started."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SLURM's commands are installed, and a run without them is as good
        in_slurm = SLURMEnvironment.detect()
    return in_slurm or TorchElasticEnvironment.detect() or "LOCAL_RANK" in os.environ


def launch(arguments: Sequence[str], processes: int, environment: Mapping[str, str]) -> None:
    """Run a command in several processes of this machine, and wait for them, as ``torchrun --standalone`` does.

    If one of them dies, the others get SIGTERM, and SIGKILL 30 seconds later. Signals to this process are passed on.

    Args:
        arguments: of ``saddlepoint``, without the program's name.
        processes: number of processes.
        environment: variables that are added to theirs.

    Raises:
        UserError: a process ended by this error.
        RunError: likewise, or a process died.
        SystemExit: the run was told to stop.
    """
    # Takes half a second to import, and one process needs none of it.
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    before = {number: signal.getsignal(number) for number in numbers}
    with tempfile.TemporaryDirectory(prefix="saddlepoint-") as folder:
        own = {LAUNCHER: str(os.getpid()), ERRORS: folder, **environment}
        os.environ.update(own)
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        logging.disable(logging.ERROR)  # torchrun's notices; what ended the run is raised
        try:
            elastic_launch(config, sys.executable)("-m", "saddlepoint.commands", *arguments)
        except ChildFailedError as error:
            codes = {number: failure.exitcode for number, failure in error.failures.items()}
            raise _cause(codes, Path(folder)) from None
        except SignalException as error:
            raise SystemExit(128 + error.sigval) from None
        finally:
            logging.disable(logging.NOTSET)
            for name in own:
                del os.environ[name]
            for number, handler in before.items():
                signal.signal(number, handler)


def _cause(codes: Mapping[int, int], folder: Path) -> BaseException:
    """Return what ended a run: a process that was killed, else the first error, else the exit code of a process."""
    for number, code in codes.items():
        if code < 0 and code != -signal.SIGTERM:
            name = signal.Signals(-code).name
            return RunError(f"rank {number} was ended by {name}; resume=RUN continues from the last checkpoint")
    for file in sorted(folder.glob("*.error"), key=lambda file: file.stat().st_mtime_ns):
        kind, content = json.loads(file.read_text())
        return UserError(*content) if kind == "UserError" else RunError(*content)
    number, code = next(iter(codes.items()))
    if code in STOPPED:
        return SystemExit(code)
    return RunError(f"rank {number} ended with exit code {code}; its output is above")


def reported(error: UserError | RunError) -> bool:
    """Leave the error that ends this process to its launcher, which prints the first one of all processes.

    Returns:
        False where no :func:`launch` started this process, so that it has to print the error itself.
    """
    if ERRORS not in os.environ:
        return False
    file = Path(os.environ[ERRORS]) / f"{rank()}.error"
    file.write_text(json.dumps([type(error).__name__, error.args]))
    return True


def end_with_launcher() -> None:
    """End this process soon after its launcher was killed.

    Processes that torchrun has started outlive it if it is killed by SIGKILL
    (``test_the_launcher_of_two_ranks_is_killed`` in tests/faults/test_signals.py).
    """
    if LAUNCHER in os.environ:
        threading.Thread(target=_watch, args=(int(os.environ[LAUNCHER]),), daemon=True).start()


def _watch(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)  # a run that trains saves and ends
    time.sleep(SECONDS_TO_STOP)
    os._exit(1)
