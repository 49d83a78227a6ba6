"""The page of ``explore.py`` in headless Chromium, served by a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import saddlepoint as sp

action_chains = pytest.importorskip("selenium.webdriver.common.action_chains", reason="selenium is not installed")
pytest.importorskip("nicegui", reason="NiceGUI is not installed: pip install 'saddlepoint[explore]'")
SCRIPT = Path(__file__).parents[2] / "explore.py"


@pytest.fixture(scope="module")
def run_of_bigan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bigan") / "run"
    settings = {"model": "bigan", "data": "digits", "features": "none", "logger": "none", "batch_size": 16}
    sp.train("network.units=16", "budget.images=64", f"run.dir={folder}", **settings)
    return folder


def start(*arguments: str) -> subprocess.Popen[str]:
    # NiceGUI behaves differently in processes that seem to be pytest's.
    environment = {key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), "open=false", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**environment, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def address(run_of_bigan: Path) -> Iterator[str]:
    """The address of the page, which is served until the test ends."""
    port = 20_000 + os.getpid() % 10_000  # below the ports that systems give to other programs meanwhile
    with start(f"checkpoint={run_of_bigan}", f"port={port}") as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert found
            assert found[0].endswith(f":{port}")
            end = time.monotonic() + 60
            while True:
                try:
                    urllib.request.urlopen(found[0], timeout=30).close()
                    break
                except urllib.error.URLError:
                    assert process.poll() is None, process.communicate()
                    assert time.monotonic() < end
                    time.sleep(0.1)
            yield found[0]
            process.send_signal(signal.SIGINT)
            assert process.wait(30) in (0, 130)
        finally:
            process.kill()


class Page:
    def __init__(self, driver: Any, address: str) -> None:
        self.driver = driver
        for kind in ("browser", "performance"):
            driver.get_log(kind)
        driver.get(address)
        self.until(lambda: self.source("sample").startswith("data:"))

    def until(self, condition: Any) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.05)

    def source(self, name: str) -> str:
        script = "const e = document.querySelector(arguments[0]); return e ? e.src : ''"
        return str(self.driver.execute_script(script, f".sp-{name} img"))

    def element(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def slide(self, name: str, position: float) -> None:
        """Click on a slider at a position from 0 to 1."""
        slider = self.element(f".sp-{name}")
        offset = round((position - 0.5) * slider.size["width"])
        action_chains.ActionChains(self.driver).move_to_element_with_offset(slider, offset, 0).click().perform()

    def changed(self, name: str, before: str) -> str:
        """Wait until a picture has changed, and return the new one."""
        self.until(lambda: self.source(name).startswith("data:") and self.source(name) != before)
        return self.source(name)


def test_sliders_change_the_picture_and_an_uploaded_image_is_encoded(driver: Any, address: str, tmp_path: Path) -> None:
    page = Page(driver, address)
    first, way = page.source("sample"), page.source("way")

    for name in ("position", "truncation", "direction-0"):
        before = page.source("sample")
        page.slide(name, 0.7)
        page.changed("sample", before)
    page.element(".sp-reset").click()
    page.element(".sp-shuffle").click()
    other = page.changed("way", way)
    assert other != way

    page.element(".sp-nearest").click()
    page.changed("neighbour", "")

    before = page.source("sample")
    random = np.random.default_rng(0).integers(0, 256, (40, 20, 3), dtype=np.uint8)
    Image.fromarray(random).save(tmp_path / "mine.png")
    page.element(".sp-upload input[type=file]").send_keys(str(tmp_path / "mine.png"))
    encoded = page.changed("sample", before)
    assert encoded != first

    before = page.source("sample")
    (tmp_path / "not.png").write_text("no image")
    page.element(".sp-upload input[type=file]").send_keys(str(tmp_path / "not.png"))
    page.until(lambda: "corrupt image" in page.element("body").text)
    assert page.source("sample") == before

    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    requested = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
    assert requested
    assert all(url.startswith((address, "data:", "blob:")) for url in requested)


def test_only_this_machine_is_answered(address: str) -> None:
    request = urllib.request.Request(address, headers={"Host": "example.com"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request, timeout=30)
    port = int(address.rpartition(":")[2])
    listening = [
        line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if line.split()[3] == "0A"
    ]
    assert f"0100007F:{port:04X}" in listening
    assert f"00000000:{port:04X}" not in listening


@pytest.mark.slow
def test_a_port_that_is_taken_is_one_line(run_of_bigan: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with start(f"checkpoint={run_of_bigan}", f"port={port}") as process:
            out, error = process.communicate(timeout=120)
    assert (process.returncode, out) == (2, "")
    assert error == f"error: port: {port} cannot be used: Address already in use; choose another, or 0 for any\n"
