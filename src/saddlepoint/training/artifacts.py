"""The best checkpoint of a finished run and its export, as artifacts."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from saddlepoint.assembly.restore import ENCODER, find, restore
from saddlepoint.errors import UserError
from saddlepoint.export import export
from saddlepoint.tracking.record import RunRecord

log = logging.getLogger(__name__)


def store(record: RunRecord, plugins: Sequence[str]) -> None:
    """Give the best checkpoint, or the last if there is no best one, and its export to the loggers.

    A system that exports no networks, or that cannot be exported, is stored as a checkpoint only, with a warning.

    Args:
        record: the record of the run, whose loggers are still open.
        plugins: trusted packages whose classes the checkpoint may name.
    """
    checkpoint = find(str(record.directory))
    card = record.best if checkpoint.stem == "best" else record.latest.get(record.monitor or "")
    about = {} if card is None else {card.metric: card.value, "n": card.n, "images_seen": card.images_seen}
    encoder = record.directory / ENCODER  # without which a model of latents cannot be restored
    files = [checkpoint, *([encoder] if encoder.exists() else [])]
    record.log_files("checkpoint", files, checkpoint.stem, about)
    with tempfile.TemporaryDirectory(prefix="saddlepoint-") as folder:
        try:
            names = export.write(restore(checkpoint, "cpu", plugins), Path(folder), plugins=plugins)
        except UserError as error:
            log.warning("no export is stored: %s", error)
            return
        record.log_files("export", [Path(folder) / name for name in names], checkpoint.stem, about)
