"""All command lines in the pages on data, evaluation and others use existing keys and choices."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

from saddlepoint.config.compose import compose_config
from saddlepoint.config.overrides import read
from saddlepoint.config.schema import EvaluateConfig, ExploreConfig, ReportConfig, SampleConfig, TrainConfig
from saddlepoint.config.strict import check_schema

DOCS = Path(__file__).parents[2] / "docs"
SCHEMAS = {
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "sample": SampleConfig,
    "report": ReportConfig,
    "explore": ExploreConfig,
}


PAGES = ["data.md", "evaluation.md", "export.md", "modes.md", "sweeps.md", "comparing.md", "theory.md"]


@pytest.mark.parametrize(
    "page", [*PAGES, *(f"compare/{path.name}" for path in sorted((DOCS / "compare").glob("*.md")))]
)
def test_commands_compose(page: str) -> None:
    text = (DOCS / page).read_text()
    lines = re.findall(r"python (\w+)\.py ([^`\n#]*)", text)
    assert len(lines) >= 2
    for command, rest in lines:
        arguments = [argument.strip("'") for argument in rest.split() if "=" in argument]
        for job in product(*map(jobs_of, arguments)):
            check_schema(compose_config(command, read(command, job).overrides), SCHEMAS[command])


def jobs_of(argument: str) -> list[str]:
    """Return the arguments of a sweep's jobs for one argument."""
    key, _, value = argument.partition("=")
    return [argument] if "[" in value else [f"{key}={one}" for one in value.split(",")]
