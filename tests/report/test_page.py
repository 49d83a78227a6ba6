"""The page in headless Chromium: what it shows, and that it sends no request."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Page, click_on_point, narrow_to
from PIL import Image

from saddlepoint.report import page as pages
from saddlepoint.report import pictures
from saddlepoint.report.formats import Report
from saddlepoint.report.runs import find
from saddlepoint.report.series import curves, thinned
from saddlepoint.report.table import arrange, select
from saddlepoint.report.verdicts import compare

pytest.importorskip("vl_convert", reason="vl-convert is not installed: pip install 'saddlepoint[report]'")
PAYLOAD = "<script>window.ran=1</script><img src=x onerror='window.ran=1'>{{data}}"


def report_of(place: Path) -> Report:
    found = find(str(place))
    table = arrange(found.runs)
    columns = select(table, None)
    names = {row.name: f"python train.py seed={row.run.setup.seed}" for row in table.rows}
    return Report(table, columns, compare(table, columns), "last", found.problems, names)


def test_thinning_keeps_ends_and_extremes() -> None:
    values = np.random.default_rng(0).normal(size=1000).tolist()
    values[617], values[618] = 50.0, -50.0
    kept = thinned(values, 240)
    assert len(kept) <= 240
    assert kept == sorted(set(kept))
    assert {0, 617, 618, 999} <= set(kept)
    assert thinned(values, 1000) == list(range(1000))


def test_curves_leave_out_real_images_and_what_is_not_a_number(write_run: Any, tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", rows=3)
    losses = [1.0, "nan", 2.123456789]
    rows = [{"images_seen": i, "seconds": 36.0 * i, "loss": x, "real/fid": 1.0} for i, x in enumerate(losses)]
    (path / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = curves(find(str(path)).runs[0])
    assert found == {"loss": {"images": [0, 2], "updates": [0, 0], "hours": [0.0, 0.02], "values": [1.0, 2.1235]}}


def test_enlarged_grids_are_stored_in_their_natural_size(tmp_path: Path) -> None:
    small = Image.fromarray(np.random.default_rng(0).integers(0, 256, (37, 41, 3), dtype=np.uint8))
    assert pictures.natural(small.resize((41 * 7, 37 * 7), Image.Resampling.NEAREST)).tobytes() == small.tobytes()
    assert pictures.natural(small).size == (41, 37)
    shifted = small.resize((41 * 2, 37 * 2), Image.Resampling.BILINEAR)
    assert pictures.natural(shifted).size == (82, 74)


def test_a_damaged_picture_is_named_and_left_out(sweep: Path) -> None:
    (picture,) = (sweep / "0_dcgan_digits_seed0" / "samples").glob("samples-000006400.png")
    picture.write_bytes(picture.read_bytes()[:200])
    text = pages.page(report_of(sweep))
    assert text.count("data:image/webp;base64,") == 12 * 6 - 1
    assert f"{picture} is left out: " in text


def test_no_data_of_a_run_becomes_markup(write_run: Any, tmp_path: Path) -> None:
    path = write_run(tmp_path / "x", changes={"choices.model": PAYLOAD, "network.width": "</script>"})
    (path / "history.jsonl").write_text(json.dumps({"images_seen": 1, PAYLOAD: 1.0}) + "\n")
    text = pages.page(report_of(tmp_path)).replace(pages.plotting_library(), "")
    assert "<script>window" not in text
    assert "<img" not in text
    assert text.count("</script>") == 5  # data, curves, pictures, library, script
    assert text.count(r"\u003cscript\u003ewindow.ran=1") >= 3


def test_the_page_of_a_sweep(driver: Any, sweep: Path, tmp_path: Path) -> None:
    """Twelve runs fold into four rows; sorting, toggling, slider, clicks and verdicts work; no requests are sent."""
    file = tmp_path / "report.html"
    file.write_text(pages.page(report_of(sweep)))
    page = Page(driver, file)
    assert page.texts("#about")[0].startswith("12 runs · 4 settings · all runs saw 6,400 images · written ")

    # The table
    assert len(page.texts("#table tr.group")) == 4
    assert page.texts("#table tr.group td:nth-child(2)") == ["▸dcgan", "▸lsgan", "▸dragan", "▸wgan_gp"]
    assert page.texts("#table tr.group td:nth-child(4)") == ["10.53 ± 1.3", "10.6 ± 1.1", "6.533 ± 1.4", "20.53 ± 1.5"]
    assert page.texts("#table td.best") == ["6.533 ± 1.4"] * 2
    assert "real 0.98" in page.texts("#table th:nth-child(4)")[0]
    page.click("#table th:nth-child(4) button")
    assert [text.lstrip("▸") for text in page.texts("#table tr.group td:nth-child(2)")] == [
        *("dragan", "dcgan", "lsgan", "wgan_gp"),
    ]
    page.click("#table th:nth-child(4) button")
    assert page.texts("#table tr.group td:nth-child(2)")[0] == "▸wgan_gp"
    page.click("#table tr[data-label=dragan] .fold")
    assert page.texts("#table tr.child td:nth-child(4)") == ["7.1", "6.5", "6"]
    page.click("#table tr.child .link")
    assert page.texts("#table .command") == ["python train.py seed=1"]
    page.choose("filter", "seed=2 gan", "input")
    page.run("const e = document.getElementById('fold'); e.checked = false; e.dispatchEvent(new Event('change'))")
    assert page.texts("#table tr.run td:nth-child(3)") == ["2"] * 4
    page.choose("filter", "", "input")
    assert len(page.texts("#table tr.run")) == 12

    # Verdicts
    sentences = page.texts("#comparisons tr td:first-child")
    assert len(sentences) == 6
    assert "dragan has a lower fid_classifier than dcgan: -4 [-4.248, -3.752], 3 seeds" in sentences
    assert sentences[-1].startswith("dcgan and lsgan: no difference shown")
    page.click("#differences")
    assert len(page.texts("#comparisons tbody tr")) == 5

    # Curves: the settings' means with bands, then single runs, and without one of the settings
    drawn = "return saddlepoint.views.curves.data('source_0').map((row) => row.r)"
    page.wait(f"return new Set((() => {{ {drawn} }})()).size === 4")
    page.click("#bands")
    page.wait(f"return new Set((() => {{ {drawn} }})()).size === 12")
    page.click("#legend button:nth-child(4)")
    page.wait(f"return new Set((() => {{ {drawn} }})()).size === 9")
    page.wait("return document.querySelectorAll('#gallery figure').length === 9")
    page.click("#log-y")
    page.choose("axis", "updates")
    page.wait("return saddlepoint.views.curves.scale('y').type === 'log'")
    assert page.run("return saddlepoint.views.curves.scale('x').domain().at(-1)") == 100
    page.click("#log-y")
    page.choose("axis", "images")
    page.wait("return saddlepoint.views.curves.scale('y').type === 'linear'")

    # The slider, and a click on a point
    assert page.texts("#time") == ["at 6,400 images"]
    last = page.run("return document.querySelector('#gallery img').src")
    page.choose("slider", "1", "input")
    assert page.texts("#time") == ["at 2,133 images"]
    assert set(page.texts("#gallery figcaption small")) == {"at 2,133 images"}
    assert page.run("return document.querySelector('#gallery img').src") != last
    click_on_point(page, run=7, images=4800)
    page.wait("return document.querySelectorAll('#moment figure').length === 1")
    assert page.texts("#moment figcaption") == ["dragan seed 1 at 4,266 images"]
    assert page.texts("#time") == ["at 4,266 images"]
    page.choose("kind", "closest_pairs_pixels")
    assert set(page.texts("#gallery figcaption small")) == {"at 6,400 images"}
    loaded = "return [...document.images].every((image) => image.complete && image.naturalWidth > 0)"
    page.wait(loaded)
    assert page.run("return document.querySelector('#gallery img').naturalWidth") == 37

    # Parallel coordinates, and the settings of two runs
    lines = "return new Set(saddlepoint.views.parallel.data('source_1').map((row) => row.r)).size"
    page.wait(f"return (() => {{ {lines} }})() === 9")
    passing = narrow_to(page, axis=0, low=-0.04, high=0.2)
    assert 0 < len(passing) < 9
    page.wait(f"return (() => {{ {lines} }})() === {len(passing)}")
    page.click("#all-runs")
    page.wait(f"return (() => {{ {lines} }})() === 12")
    page.choose("right", "6")
    assert page.texts("#diff tbody td:first-child") == [
        "loss",
        "loss._target_",
        "model",
        "regularizer",
        "regularizer.dragan.weight",
    ]

    assert page.requests() == [file.as_uri()]
    assert [entry for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []


def test_what_strangers_write_does_not_run(driver: Any, write_run: Any, tmp_path: Path) -> None:
    for seed in range(2):
        changes = {"choices.model": PAYLOAD, "network.width": PAYLOAD, "choices.loss": "javascript:window.ran=1"}
        path = write_run(tmp_path / "runs" / f"<b>{seed}", seed=seed, changes=changes)
        with (path / "history.jsonl").open("a") as history:
            rows = [{"images_seen": i, "seconds": 1.0, f"a'];window.ran=1;['{PAYLOAD}": 1.0 + i} for i in range(3)]
            history.writelines(json.dumps(row) + "\n" for row in rows)
    write_run(tmp_path / "runs" / "plain")
    file = tmp_path / "report.html"
    file.write_text(pages.page(report_of(tmp_path / "runs")))
    page = Page(driver, file)
    assert any(PAYLOAD in text for text in page.texts("#table tr.group td:nth-child(2)"))
    for name in page.run("return [...document.getElementById('series').options].map((o) => o.value)"):
        page.choose("series", name)
        time.sleep(0.2)
    page.choose("right", "1")
    for selector in (".fold", "tr.child .link"):
        page.click(selector)
    assert page.run("return window.ran") is None
    assert page.run("return document.querySelectorAll('img[src=x], b').length") == 0
    # Even a script that got into the page would not run, nor could it send anything.
    added = """
        const [script, image] = [document.createElement("script"), document.createElement("img")];
        script.textContent = "window.ran = 1";
        image.src = "http://127.0.0.1:9/x.png";
        document.body.append(script, image);
        return window.ran;
    """
    assert page.run(added) is None
    assert [url for url in page.requests() if url != file.as_uri()] == []
    policy = [entry["message"] for entry in driver.get_log("browser") if "Content Security Policy" in entry["message"]]
    assert len(policy) == 2


def test_the_page_fits_a_phone(driver: Any, sweep: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(pages.page(report_of(sweep)))
    metrics = {"width": 400, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        page = Page(driver, file)
        assert page.run("return innerWidth") == 400
        assert page.run("return document.documentElement.scrollWidth") <= 400
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_page_names_no_address_outside_it(sweep: Path) -> None:
    text = pages.page(report_of(sweep))
    own = text.replace(pages.plotting_library(), "")
    addresses = set(re.findall(r"https?://[^\s\"'<>\\]+", own))
    assert addresses == {"http://www.w3.org/2000/svg"}  # the name of SVG's elements
