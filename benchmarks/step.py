"""The cost of a training round: this engine, a bare PyTorch loop with the same optimizations, and a tutorial's loop.

    python benchmarks/step.py [--slices 15] [--memory] [--ranks] [--compile]

The engine runs as in ``train.py``: with the same config, callbacks and trainer, but without scores and pictures. The
loops run alternately, a slice of rounds each, on one thread of one process and on the same networks. The CPU time of
each slice is measured, and a ratio is the median over slices, so that a busy machine slows all of them down equally.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from plain_loops import BareLoop, CompiledLoop, Loop, TutorialLoop

from saddlepoint.assembly import build
from saddlepoint.config.compose import compose_config
from saddlepoint.tracking.local import LocalLogger
from saddlepoint.tracking.record import RunRecord
from saddlepoint.training.plan import Launch, Plan
from saddlepoint.training.plan import prepare as prepare_run
from saddlepoint.training.run import build_callbacks

IMAGES = ["data=digits", "data.image_size=32", "data.fit=resize", "data.channels=3", "features=none"]
"""Real images of CIFAR-10's shape, without a download."""


@dataclass(frozen=True)
class Case:
    """Networks and settings to compare on.

    Attributes:
        name: in the table.
        overrides: on train.py's command line.
        rounds: in a slice.
        tutorial: whether the tutorial's loop has this algorithm.
    """

    name: str
    overrides: Sequence[str]
    rounds: int
    tutorial: bool = False


DCGAN = Case("DCGAN-32", ["model=dcgan", *IMAGES, "network.width=32", "batch_size=64"], 4, True)
SNGAN = Case("SNGAN-32", ["model=sngan", *IMAGES, "network.width=16", "batch_size=32"], 10, True)
SAGAN = Case("SAGAN-32", ["model=sagan", *IMAGES, "network.width=16", "batch_size=32"], 4)
BIGGAN = Case("BigGAN-32", ["model=biggan", *IMAGES, "network.width=8", "batch_size=32", "model.accumulate=1"], 4)
STYLEGAN2 = Case(
    "StyleGAN2-32",
    [
        *("model=stylegan2", *IMAGES, "network.width=32", "network.base=512", "network.style_dim=64", "batch_size=16"),
        *("model.mixing=0", "regularizer=[r1]", "regularizer.r1.weight=1", "regularizer.r1.interval=16"),
    ],
    16,
)
R3GAN = Case(
    "R3GAN-32",
    [
        *("model=r3gan", *IMAGES, "network.width=64", "network.flat_up_to=8", "network.blocks=1", "batch_size=16"),
        *("regularizer=[r3gan]", "augment=[]", "optimizer=r3gan_adam"),
        *("model.ema_half_life=null", "model.ema_decay=0.999"),
    ],
    4,
)
POINTS = Case("MLP on points", ["model=gan", "data=gaussians", "network.width=32", "batch_size=64"], 100)
CASES = {case.name: case for case in (DCGAN, SNGAN, SAGAN, BIGGAN, STYLEGAN2, R3GAN, POINTS)}


class TakingTurns(pl.Callback):
    """Runs a slice of the other loops after each slice of the engine, and times all. It must be the last callback.

    Args:
        others: the ways by name.
        rounds: in a slice.
        slices: to measure, after a first one that warms up.
    """

    def __init__(self, others: dict[str, Loop], rounds: int, slices: int) -> None:
        self.others = others
        self.rounds = rounds
        self.slices = slices
        self.seconds: dict[str, list[float]] = {name: [] for name in ("ours", *others)}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start timing the engine."""
        self._since = time.process_time()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        """At the end of a slice, stop timing the engine, run the other loops, and start again."""
        if pl_module.progress.rounds % self.rounds:
            return
        self.seconds["ours"].append(time.process_time() - self._since)
        for name, loop in self.others.items():
            torch.set_autocast_cache_enabled(True)  # PyTorch's own setting, which Lightning changes
            start = time.process_time()
            loop.play(self.rounds)
            self.seconds[name].append(time.process_time() - start)
        trainer.should_stop = len(self.seconds["ours"]) > self.slices
        self._since = time.process_time()

    def a_round(self, name: str) -> list[float]:
        """Return the seconds per round of each slice except the first."""
        return [seconds / self.rounds for seconds in self.seconds[name][1:]]

    def ratio(self, one: str, other: str) -> float:
        """Return the median ratio between the times of two loops."""
        return statistics.median(a / b for a, b in zip(self.a_round(one), self.a_round(other), strict=True))


def prepare(case: Case, precision: str = "32-true", ranks: int = 1) -> Plan:
    """Build what train.py would run, on the CPU, without scores and with a budget that is never reached."""
    options = [f"trainer.precision={precision}", "trainer.accelerator=cpu", "budget.images=1000000000"]
    options += [f"trainer.devices={ranks}"]
    config = compose_config("train", [*case.overrides, *options])
    choices = dict(override.split("=") for override in case.overrides if "." not in override.split("=")[0])
    return prepare_run(config, Launch(choices))


def compare(plan: Plan, ways: Sequence[str], rounds: int, slices: int) -> TakingTurns:
    """Run the engine and the named loops alternately, from the same initial weights."""
    makers: dict[str, Callable[..., Loop]] = {"bare": BareLoop, "tutorial": TutorialLoop, "compiled": CompiledLoop}
    settings = (*training_set(plan), plan.config.batch_size, plan.config.trainer.precision)
    turns = TakingTurns({way: makers[way](build.build_system(plan.config), *settings) for way in ways}, rounds, slices)
    with tempfile.TemporaryDirectory() as folder:
        record = RunRecord(Path(folder), [LocalLogger(Path(folder))])
        plan.trainer.callbacks.extend([*build_callbacks(plan, record), turns])  # type: ignore[attr-defined]
        plan.trainer.fit(plan.system, datamodule=plan.data)
    return turns


def training_set(plan: Plan) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the training split as kept in memory, images uint8 [N, H, W, C] or points [N, D]; and its labels."""
    arrays = plan.data.arrays("train")
    values = arrays.samples
    return values.permute(0, 2, 3, 1) if values.dim() == 4 else values, arrays.labels


def row(what: str, ours: str, other: str, ratio: float, wanted: str) -> None:
    """Print a line of the table."""
    print(f"{what:<46}{ours:>11}{other:>11}{ratio:>9.2f}  {wanted}", flush=True)


def milliseconds(turns: TakingTurns, name: str) -> str:
    """Return the median time of a round."""
    return f"{statistics.median(turns.a_round(name)) * 1e3:.2f} ms"


def images(case: Case, slices: int) -> None:
    """Compare on images, in float32 and, if the CPU computes in it, in bfloat16."""
    turns = compare(prepare(case), ["bare", "tutorial"] if case.tutorial else ["bare"], case.rounds, slices)
    ours, bare = milliseconds(turns, "ours"), milliseconds(turns, "bare")
    row(f"{case.name}: ours / bare loop", ours, bare, turns.ratio("ours", "bare"), "<= 1.03")
    if not case.tutorial:
        return
    tutorial = milliseconds(turns, "tutorial")
    row(f"{case.name}: tutorial / ours", ours, tutorial, turns.ratio("tutorial", "ours"), ">= 1.3")
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        print(f"{case.name}: this CPU does not compute in bfloat16")
        return
    turns = compare(prepare(case, "bf16-mixed"), ["bare", "tutorial"], case.rounds, slices)
    ours, bare, tutorial = (milliseconds(turns, name) for name in ("ours", "bare", "tutorial"))
    row(f"{case.name}: ours / bare loop, both bf16", ours, bare, turns.ratio("ours", "bare"), "")
    row(f"{case.name}: tutorial in float32 / ours in bf16", ours, tutorial, turns.ratio("tutorial", "ours"), ">= 2")


def points(slices: int) -> None:
    """Compare on the smallest networks, for which the overhead is largest."""
    turns = compare(prepare(POINTS), ["bare"], POINTS.rounds, slices)
    ours, bare = milliseconds(turns, "ours"), milliseconds(turns, "bare")
    row(f"{POINTS.name}: ours / bare loop", ours, bare, turns.ratio("ours", "bare"), "<= 1.25")
    added = statistics.median(turns.a_round("ours")) - statistics.median(turns.a_round("bare"))
    print(f"{POINTS.name}: a turn adds {added / 2 * 1e6:.0f} µs")


def memory(case: Case) -> None:
    """Compare the peak memory that training adds to a process."""
    added = {}
    for way in ("ours", "bare"):
        asked = [sys.executable, __file__, "--memory-of", way, "--case", case.name]
        added[way] = float(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()[-1])
    ours, bare = (f"{added[way]:.0f} MB" for way in ("ours", "bare"))
    row(f"{case.name}: memory that training adds, ours / bare", ours, bare, added["ours"] / added["bare"], "")


def memory_of(way: str, case: Case) -> None:
    """Print the increase of the largest resident size over 40 rounds, in 10⁶ bytes."""
    plan = prepare(case)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from what is resident now; Linux only
    before = peak()
    if way == "ours":
        compare(plan, [], 20, 1)
    else:
        BareLoop(plan.system, *training_set(plan), plan.config.batch_size, "32-true").play(40)
    print(peak() - before)


def peak() -> float:
    """Return this process's largest resident size so far, in 10⁶ bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


def compiled(case: Case, slices: int) -> None:
    """Compare the bare loop with and without torch.compile; the first slice includes the compilation."""
    turns = compare(prepare(case), ["bare", "compiled"], case.rounds, slices)
    bare, fast = milliseconds(turns, "bare"), milliseconds(turns, "compiled")
    row(f"{case.name}: bare loop / the same compiled", fast, bare, turns.ratio("bare", "compiled"), "")


def ranks(slices: int, repeats: int = 3) -> None:
    """Compare a round in one of two gloo processes, each with its own batch, with a round in a single process."""
    found: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(repeats):
        for size, seconds in found.items():
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            asked = [sys.executable, __file__, "--ranks-of", str(size), "--slices", str(slices)]
            processes = []
            for rank in range(size):
                own = {"LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)} if size > 1 else {}
                own |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
                processes.append(subprocess.Popen(asked, env={**os.environ, **own}, stdout=subprocess.PIPE, text=True))
            seconds.append(statistics.mean(float(process.communicate()[0].split()[-1]) for process in processes))
    one, two = (f"{statistics.median(seconds) * 1e3:.2f} ms" for seconds in found.values())
    ratio = statistics.median(b / a for a, b in zip(*found.values(), strict=True))
    row("DCGAN-32: a rank of two / a single process", two, one, ratio, "")


def ranks_of(size: int, slices: int) -> None:
    """Print the seconds per round of this rank."""
    turns = compare(prepare(DCGAN, ranks=size), [], DCGAN.rounds, slices)
    print(statistics.median(turns.a_round("ours")))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=15, help="measured slices of each way")
    parser.add_argument("--case", choices=CASES, help="this one only")
    parser.add_argument("--memory", action="store_true", help="compare memory too")
    parser.add_argument("--ranks", action="store_true", help="compare two processes with one too")
    parser.add_argument("--compile", action="store_true", help="compare compiled networks too; minutes to compile")
    parser.add_argument("--memory-of", choices=["ours", "bare"], help=argparse.SUPPRESS)
    parser.add_argument("--ranks-of", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    if arguments.memory_of:
        memory_of(arguments.memory_of, CASES[arguments.case])
        return
    if arguments.ranks_of:
        ranks_of(arguments.ranks_of, arguments.slices)
        return
    print(f"PyTorch {torch.__version__}, Lightning {pl.__version__}, {platform.processor() or platform.machine()}")
    print(f"{'what':<46}{'ours':>11}{'other':>11}{'ratio':>9}  wanted")
    chosen = [CASES[arguments.case]] if arguments.case else list(CASES.values())
    for case in chosen:
        if case is POINTS:
            points(arguments.slices)
        else:
            images(case, arguments.slices)
        if arguments.memory:
            memory(case)
        if arguments.compile and case is not POINTS:
            compiled(case, arguments.slices)
    if arguments.ranks:
        ranks(arguments.slices)


if __name__ == "__main__":
    main()
