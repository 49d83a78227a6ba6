"""Time from the command to the first step, compared with that of ``import pytorch_lightning`` alone.

    python benchmarks/startup.py [--rounds 5] [--logger wandb]

The command is ``train.py`` with the digits, without scores and, unless ``--logger`` names a logger, without W&B. Its
first step has ended when the first row of its history is there; it is then stopped. Both programs run alternately, so
that a busy machine slows them down equally. The ratio is the median over rounds. CPU time is printed as well, since it
depends less on what else is running.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Return the CPU time that a process has used so far, in seconds; Linux only."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(command: list[str], done: Callable[[], bool] | None = None) -> tuple[float, float]:
    """Return the wall-clock and the CPU time of a program until ``done``, or until it ends."""
    before, since = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (done is not None and done()):
        time.sleep(0.005)
    seconds = time.monotonic() - since
    if done is None:
        if process.returncode != 0:
            raise SystemExit(f"{command} failed with exit code {process.returncode}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if process.returncode is not None:
        raise SystemExit(f"{command} ended without a step")
    used = cpu_seconds(process)
    process.kill()
    process.wait()
    return seconds, used


def first_step(folder: Path, logger: str) -> tuple[float, float]:
    """Measure a run until the first row of its history."""
    history = folder / "run" / "history.jsonl"
    quick = ("features=none", f"logger={logger}", "network=mlp", f"run.dir={folder / 'run'}")
    return measure([sys.executable, "train.py", *quick], lambda: history.exists() and history.stat().st_size > 0)


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--logger", default="none")
    given = parser.parse_args()
    pairs = []
    for number in range(given.rounds + 1):
        imported = measure([sys.executable, "-c", "import os, pytorch_lightning; os._exit(0)"])
        with tempfile.TemporaryDirectory() as folder:
            ours = first_step(Path(folder), given.logger)
        if number > 0:  # the first round fills the disk cache
            pairs.append((imported, ours))
    for index, name in enumerate(("wall-clock", "CPU")):
        other, own = (statistics.median(pair[side][index] for pair in pairs) for side in (0, 1))
        ratio = statistics.median(ours[index] / imported[index] for imported, ours in pairs)
        print(f"{name}: first step {own:.2f} s, import pytorch_lightning {other:.2f} s, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
