from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The real data sets' folder; a test that needs one is skipped by name where there is none."""
    root = os.environ.get("SADDLEPOINT_DATA")
    if not root:
        pytest.skip("SADDLEPOINT_DATA is not set, so the real data sets are not there")
    return Path(root)
