"""Reports known failures of a run, such as divergence or a full disk, as one line with a remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from omegaconf import DictConfig

from saddlepoint import processes
from saddlepoint.errors import RunError
from saddlepoint.systems.stepping import NonFiniteError
from saddlepoint.tracking.record import RunRecord


@contextmanager
def explained(config: DictConfig, record: RunRecord) -> Iterator[None]:
    """Convert known failures to :class:`RunError`; other exceptions propagate unchanged."""
    try:
        yield
    except (NonFiniteError, FloatingPointError) as error:
        if processes.rank() > 0:
            raise SystemExit(0) from error  # an exit code > 0 would make the launcher kill rank 0, which reports it
        kept = record.directory / "checkpoints" / "last.ckpt"
        where = f"the last finite checkpoint is {kept}" if kept.exists() else "there is no checkpoint yet"
        raise RunError(
            f"training diverged: {error}; {where}; lower optimizer.generator.lr and optimizer.discriminator.lr, or add "
            "a regularizer"
        ) from error
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        raise RunError(f"cannot write {error.filename or record.directory}: {error.strerror}") from error
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise RunError(_memory(config)) from error
    except RuntimeError as error:
        text = str(error)
        if "can't allocate memory" in text or "out of memory" in text:
            raise RunError(_memory(config)) from error
        if "DataLoader worker" in text:
            first = text.splitlines()[0].rstrip(".")
            remedy = "if it ran out of memory, lower data.num_workers, or use data.loader=memory"
            raise RunError(f"{first}; {remedy}") from error
        if "Connection closed by peer" in text or "Connection reset" in text or "gloo" in text:
            raise RunError("another rank has failed; see its output for the cause") from error
        raise


def _memory(config: DictConfig) -> str:
    return f"out of memory: lower batch_size (now {config.batch_size}) or the network's width"
