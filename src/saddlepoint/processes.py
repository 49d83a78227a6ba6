"""Processes of a run on several devices, which are started by torchrun, SLURM or :func:`launch`."""

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

from saddlepoint.errors import RunError, UserError

LAUNCHER = "SADDLEPOINT_LAUNCHER"
"""Environment variable of the processes started by :func:`launch`: the process id of the launcher."""
ERRORS = "SADDLEPOINT_ERRORS"
"""Environment variable of the same processes: the directory of their error files."""
STOPPED = (130, 143)
"""Exit codes of a run that was stopped by SIGINT or SIGTERM."""
SRUN_ADVICE = "The `srun` command is available on your system but is not used"
"""Beginning of Lightning's warning where SLURM is installed; a run on one machine does not need it."""
SECONDS_TO_STOP = 10.0
"""Time for a process to save a checkpoint and exit after its launcher has died."""


def rank() -> int:
    """Return this process's rank from the environment variables of torchrun, SLURM or Lightning.

    It does not need a process group.
    """
    for name in ("RANK", "SLURM_PROCID"):
        if name in os.environ and ("SLURM" not in name or "SLURM_NTASKS" in os.environ):
            return int(os.environ[name])
    local, node = int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("NODE_RANK", 0))
    return local + node * int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def launched() -> bool:
    """Return whether this process was started by torchrun, SLURM or :func:`launch` as one of several."""
    return started() is not None or "LOCAL_RANK" in os.environ


def started() -> tuple[int, int] | None:
    """Return the number of processes per machine and of machines that torchrun, SLURM or :func:`launch` has started.

    Returns:
        The two numbers, or None if none of them has started this process, or SLURM has started it alone: the batch
        script, a single task of ``srun``, a job of submitit. Such a process can start others by :func:`launch`.
    """
    # Imported here: these import torch, which commands that do not compute do not need.
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", SRUN_ADVICE)
        in_slurm = SLURMEnvironment.detect()
    if TorchElasticEnvironment.detect():
        each, total = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
        return each, total // each
    # Set by srun. SLURM_NTASKS is set in the batch script too, which is one process.
    total = int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) if in_slurm else 1
    if total == 1:
        return None
    machines = int(os.environ["SLURM_STEP_NUM_NODES"])
    return total // machines, machines


def launch(arguments: Sequence[str], processes: int, environment: Mapping[str, str]) -> None:
    """Run a command in several processes on this machine and wait for them, as ``torchrun --standalone`` does.

    If a process dies, the others receive SIGTERM, and SIGKILL 30 seconds later. Signals to this process are forwarded,
    including the SIGUSR1 with which SLURM warns of a time limit.

    Args:
        arguments: arguments of ``saddlepoint``, without the program's name.
        processes: number of processes.
        environment: additional environment variables.

    Raises:
        UserError: raised by a process.
        RunError: raised by a process, or a process died.
        SystemExit: the run was stopped by a signal.
    """
    # Imported here since it takes half a second.
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT]
    if "SLURM_JOB_ID" in os.environ:
        numbers.append(signal.SIGUSR1)
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
            signals_to_handle=",".join(number.name for number in numbers),
        )
        logging.disable(logging.ERROR)  # torchrun's messages; the cause is raised below
        try:
            elastic_launch(config, sys.executable)("-m", "saddlepoint.commands", *arguments)
        except ChildFailedError as error:
            codes = {number: failure.exitcode for number, failure in error.failures.items()}
            raise _cause(codes, Path(folder)) from None
        except SignalException as error:
            sent = signal.SIGTERM if error.sigval == signal.SIGUSR1 else error.sigval
            raise SystemExit(128 + sent) from None
        finally:
            logging.disable(logging.NOTSET)
            for name in own:
                del os.environ[name]
            for number, handler in before.items():
                signal.signal(number, handler)


def _cause(codes: Mapping[int, int], folder: Path) -> BaseException:
    """Return the cause of a failure: a killed process, else the first error of a process, else an exit code."""
    for number, code in codes.items():
        if code < 0 and code != -signal.SIGTERM:
            name = signal.Signals(-code).name
            return RunError(f"rank {number} was killed by {name}; resume=RUN continues from the last checkpoint")
    for file in sorted(folder.glob("*.error"), key=lambda file: file.stat().st_mtime_ns):
        kind, content = json.loads(file.read_text())
        return UserError(*content) if kind == "UserError" else RunError(*content)
    number, code = next(iter(codes.items()))
    if code in STOPPED:
        return SystemExit(code)
    return RunError(f"rank {number} exited with code {code}; its output is above")


def reported(error: UserError | RunError) -> bool:
    """Write an error to a file for the launcher, which prints the first error of all processes.

    Returns:
        Whether the error was written; False if this process was not started by :func:`launch`.
    """
    if ERRORS not in os.environ:
        return False
    file = Path(os.environ[ERRORS]) / f"{rank()}.error"
    file.write_text(json.dumps([type(error).__name__, error.args]))
    return True


def end_with_launcher() -> None:
    """Start a thread that ends this process if its launcher dies.

    Otherwise, processes started by torchrun would continue if the launcher were killed by SIGKILL.
    """
    if LAUNCHER in os.environ:
        threading.Thread(target=_watch, args=(int(os.environ[LAUNCHER]),), daemon=True).start()


def _watch(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)  # the signal handler saves a checkpoint
    time.sleep(SECONDS_TO_STOP)
    os._exit(1)
