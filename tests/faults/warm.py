"""A process that has imported everything, and forks a process for each command that it reads from stdin.

Importing torch takes seconds, which would add up to minutes in a test that kills a run twenty times.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from wandb.sdk.data_types._private import MEDIA_TMP

import saddlepoint.commands.evaluate
import saddlepoint.commands.sample
import saddlepoint.commands.train  # noqa: F401
from saddlepoint.commands.main import main


def serve() -> None:
    """Fork a supervisor and a run for each line of stdin."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # supervisors leave no zombies
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore SIGINT
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        if os.fork() == 0:
            supervise(json.loads(line))


def supervise(order: dict[str, Any]) -> None:
    """Fork the run, and write its exit code, negative for a signal."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if pid := os.fork():
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        note(Path(order["log"]) / "code", code)
        os._exit(0)
    os.setsid()  # signals to the group reach only the run and its children
    for number, name in ((0, os.devnull), (1, f"{order['log']}/out"), (2, f"{order['log']}/err")):
        os.dup2(os.open(name, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    sys.path.insert(0, order["folder"])
    for name, limit in order["limits"].items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    Path(MEDIA_TMP.name).mkdir(exist_ok=True)  # created when W&B is imported, and removed by each process
    note(Path(order["log"]) / "pid", os.getpid())
    main(order["command"], order["arguments"])
    sys.exit(0)


def note(path: Path, number: int) -> None:
    """Write a number to a file atomically."""
    path.with_suffix(".new").write_text(str(number))
    path.with_suffix(".new").replace(path)


if __name__ == "__main__":
    serve()
