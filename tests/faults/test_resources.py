"""Out of memory, and killed workers."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest


@pytest.mark.slow
def test_memory_runs_out(user: Any, faulty: tuple[str, ...]) -> None:
    """The limit (``ulimit -v``) is 400 MB more than the process uses when its parts have been built."""
    large = ("data.image_size=64", "network.width=32", "batch_size=1400")
    process = user.run(*faulty, *user.tiny, *large, "loss.kind=little memory", "run.dir=run")
    assert process.code() == 1
    assert process.err.splitlines()[-1] == ("error: out of memory: lower batch_size (now 1400) or the network's width")
    assert "Traceback" not in process.err


@pytest.mark.slow
def test_a_loader_worker_is_killed(user: Any) -> None:
    process = user.start(*user.tiny, "data.loader=workers", user.long, "run.dir=run")
    process.until(lambda: len(user.rows(user.folder / "run")) >= 3)
    os.kill(process.children()[0], signal.SIGKILL)
    assert process.wait() == 1
    (said,) = [line for line in process.err.splitlines() if line.startswith("error: ")]
    assert said.startswith("error: DataLoader worker")
    assert said.endswith("; if it ran out of memory, lower data.num_workers, or use data.loader=memory")
    # A thread of another terminating worker may print a traceback before or after this line.
    assert "saddlepoint/" not in process.err
    assert process.no_orphans()
