"""Several processes: no wrapper round the networks, one flattened all-reduce a step.

Lightning's plain ``ddp`` fails for GANs, whose turns leave half of the weights without gradients, and its variant that
looks for unused parameters walks the graph in every step. Averaging the stepping player's gradients ourselves gives the
same bits on all ranks at a lower cost.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch.distributed as dist
from lightning_fabric.utilities.distributed import _set_num_threads_if_needed
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

LAUNCHER = "SADDLEPOINT_LAUNCHER"
"""The process that started this one, in its environment."""
STOPPED = (130, 143)
"""Exit codes of a rank that was told to stop; all ranks have agreed on it, and rank 0 may still be saving."""
SECONDS_TO_NOTICE = 10.0
"""For a rank to notice by itself that another has died, which it does in its next all-reduce."""


class GameStrategy(DDPStrategy):
    """Processes that play the same game on shares of each batch.

    Args:
        command: starts one more process of this run; Lightning's own guess would start a sweep anew under ``-m``, and
            fails for an installed command.
    """

    def __init__(self, command: Sequence[str]) -> None:
        super().__init__()
        self.command = list(command)
        if LAUNCHER in os.environ:
            threading.Thread(target=_end_with_launcher, args=(int(os.environ[LAUNCHER]),), daemon=True).start()

    def _configure_launcher(self) -> None:
        if not self.cluster_environment.creates_processes_externally:  # type: ignore[union-attr]
            self._launcher = _Launcher(self.command, self.cluster_environment, self.num_processes, self.num_nodes)

    def configure_ddp(self) -> None:
        """Give all ranks rank 0's weights and buffers; nothing is wrapped."""
        assert self.lightning_module is not None
        for tensor in (*self.lightning_module.parameters(), *self.lightning_module.buffers()):
            dist.broadcast(tensor.data, src=0)
        self.model = self.lightning_module

    def barrier(self, name: str | None = None) -> None:
        """Wait for all ranks; but not to save, for rank 0 alone knows when a score has improved."""
        if name != "Trainer.save_checkpoint":
            super().barrier(name)

    def teardown(self) -> None:
        """End the group, and forget the ranks: a sweep's next job starts processes of its own."""
        super().teardown()
        if dist.is_initialized():
            dist.destroy_process_group()
        if isinstance(self._launcher, _Launcher):
            for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE"):
                os.environ.pop(name, None)

    def _register_ddp_hooks(self) -> None:
        """There is no wrapper to hook into."""


class _Launcher(_SubprocessScriptLauncher):
    def __init__(self, command: list[str], *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.command = command

    def launch(self, function: Callable[..., Any], *args: Any, trainer: Any = None, **kwargs: Any) -> Any:
        """Start the other processes, and play.

        Lightning's own observer kills rank 0 within 5 s of another's end: while it saves, or before it says why.
        """
        self.cluster_environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        self._call_children_scripts()
        over = threading.Event()
        threading.Thread(target=_end_with_others, args=(self.procs, over), daemon=True).start()
        _set_num_threads_if_needed(num_processes=self.num_processes)
        try:
            return function(*args, **kwargs)
        finally:
            over.set()

    def _call_children_scripts(self) -> None:
        self._check_can_spawn_children()
        self.procs = []
        environment = self.cluster_environment
        os.environ["MASTER_ADDR"] = environment.main_address
        os.environ["MASTER_PORT"] = str(environment.main_port)
        os.environ["NODE_RANK"] = str(environment.node_rank())
        os.environ["LOCAL_RANK"] = str(environment.local_rank())
        os.environ["WORLD_SIZE"] = str(self.num_processes * self.num_nodes)
        for rank in range(1, self.num_processes):
            own = {"LOCAL_RANK": str(rank), LAUNCHER: str(os.getpid())}
            self.procs.append(subprocess.Popen(self.command, env={**os.environ, **own}))


def _end_with_others(processes: Sequence[subprocess.Popen[bytes]], over: threading.Event) -> None:
    """End this process where another has died and this one has not noticed: it waits in vain, or for long."""
    while not over.wait(1.0):
        died = [process for process in processes if process.poll() not in (None, 0, *STOPPED)]
        if died and not over.wait(SECONDS_TO_NOTICE):
            for process in processes:
                process.kill()
            code = died[0].returncode
            sys.stderr.write(f"error: another rank has died (exit code {code}), so this one ends too\n")
            os._exit(1)


def _end_with_launcher(launcher: int) -> None:
    """End this process where the one that started it has died, be it before they were connected."""
    while os.getppid() == launcher:
        time.sleep(1.0)
    time.sleep(SECONDS_TO_NOTICE)
    os._exit(1)


def rank() -> int:
    """Return this process's rank before any process group exists, from what launchers, torchrun and SLURM set."""
    for name in ("RANK", "SLURM_PROCID"):
        if name in os.environ and ("SLURM" not in name or "SLURM_NTASKS" in os.environ):
            return int(os.environ[name])
    local, node = int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("NODE_RANK", 0))
    return local + node * int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def command_of(command: str, overrides: Sequence[str]) -> list[str]:
    """Return the command line of one more process of this very job: no ``-m``, so no second sweep."""
    return [sys.executable, "-m", "saddlepoint.commands", command, *overrides]
