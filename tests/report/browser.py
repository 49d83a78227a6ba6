"""The page of a report in a browser."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any


class Page:
    """A page that has been opened."""

    def __init__(self, driver: Any, file: Path) -> None:
        self.driver = driver
        for kind in ("browser", "performance"):
            driver.get_log(kind)
        driver.get(file.as_uri())
        self.wait("return !!(window.saddlepoint && saddlepoint.views.curves && saddlepoint.views.parallel)")

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition: str, *arguments: Any) -> None:
        end = time.monotonic() + 120
        while not self.run(condition, *arguments):
            assert time.monotonic() < end, condition
            time.sleep(0.1)

    def click(self, selector: str) -> None:
        self.run("document.querySelector(arguments[0]).click()", selector)

    def texts(self, selector: str) -> list[str]:
        return self.run("return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText.trim())", selector)

    def choose(self, name: str, value: str, event: str = "change") -> None:
        script = "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
        self.run(script + "e.dispatchEvent(new Event(arguments[2]))", name, value, event)

    def requests(self) -> list[str]:
        """The addresses of all requests since the page was opened, without data URLs and what its policy blocked."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        blocked = {m["params"]["requestId"] for m in messages if m["params"].get("blockedReason") == "csp"}
        sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        urls = [each["request"]["url"] for each in sent if each["requestId"] not in blocked]
        return [url for url in urls if not url.startswith("data:")]


def click_on_point(page: Page, run: int, images: int) -> None:
    """Click on the point of a run's curve at a number of images."""
    script = """
        const view = saddlepoint.views.curves;
        const row = view.data("source_0").find((each) => each.r === arguments[0] && each.images === arguments[1]);
        const canvas = document.querySelector("#curve-chart canvas");
        canvas.scrollIntoView({ block: "center", behavior: "instant" });
        const left = view.origin()[0] + view.padding().left, top = view.origin()[1] + view.padding().top;
        const box = canvas.getBoundingClientRect();
        return [box.x + left + view.scale("x")(row.x), box.y + top + view.scale("y")(row.y)];
    """
    x, y = page.run(script, run, images)
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
        page.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **button})


def narrow_to(page: Page, axis: int, low: float, high: float) -> set[int]:
    """Draw a rectangle over an axis of the parallel coordinates, and return the runs that pass through it."""
    script = """
        const [axis, low, high] = arguments;
        const view = saddlepoint.views.parallel;
        const canvas = document.querySelector("#parallel-chart canvas");
        canvas.scrollIntoView({ block: "center", behavior: "instant" });
        const left = view.origin()[0] + view.padding().left, top = view.origin()[1] + view.padding().top;
        const box = canvas.getBoundingClientRect();
        const corner = (x, y) => [box.x + left + view.scale("x")(x), box.y + top + view.scale("y")(y)];
        const inside = view.data("source_1").filter((row) => row.i === axis && row.v >= low && row.v <= high);
        return [corner(axis - 0.2, low), corner(axis + 0.2, high), inside.map((row) => row.r)];
    """
    start, end, runs = page.run(script, axis, low, high)
    for kind, (x, y) in (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)):
        event = {"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
        page.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)
    return set(runs)
