"""The typed schema of ``conf/report.yaml``; apart from the others, since it does not need torch."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat

from saddlepoint.config.strict import Strict


class ReportConfig(Strict):
    """The keys of ``conf/report.yaml``."""

    runs: str | list[str] | None
    wandb: str | None
    format: Literal["html", "markdown", "latex", "csv", "json"]
    out: str | None
    overwrite: bool
    metrics: list[str] | None
    value: Literal["last", "best"]
    watch: bool
    watch_seconds: PositiveFloat
