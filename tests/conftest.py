from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    """Headless Chromium, which records its console and its requests."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    found = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    chromium, chromedriver = next(filter(None, found), None), shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    made = webdriver.Chrome(options, webdriver.ChromeService(chromedriver))
    made.set_script_timeout(120)
    made.set_page_load_timeout(300)
    yield made
    made.quit()
