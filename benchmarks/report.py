"""Size and speed of the page of ``report.py`` for many runs, which are written as files, not trained.

    python benchmarks/report.py                  # 200 runs of 1,000 rows and ten pictures
    python benchmarks/report.py --runs 20

Prints the time to write the page, its size, and, if chromium and chromedriver are installed, the time until it has been
opened and all its charts are drawn.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image, ImageFilter

from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.report.formats import Report
from saddlepoint.report.page import page, plotting_library
from saddlepoint.report.runs import find
from saddlepoint.report.table import arrange, select
from saddlepoint.report.verdicts import compare

SERIES = [f"{player}/{name}" for player in ("generator", "discriminator") for name in ("loss", "logits_fake", "norm")]
SERIES += ["discriminator/logits_real", "generator/learning_rate", "images_per_second"]
SCORES = ("fid", "is", "kid", "precision", "recall", "density", "coverage", "duplicates_pixels", "support_pixels")
SEEDS = 5
IMAGES = 640_000


def grid(random: np.random.Generator) -> Image.Image:
    """Draw ten by ten smooth colour images of 32 pixels with gaps, enlarged twice, as training saves them."""
    noise = random.integers(0, 256, (331, 331, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(3))).astype(float)
    pixels = np.clip((smooth - 127) * 8 + 127, 0, 255).astype(np.uint8)
    pixels[::33] = pixels[:, ::33] = 128
    return Image.fromarray(pixels).resize((662, 662), Image.Resampling.NEAREST)


def write(folder: Path, number: int, rows: int, pictures: list[bytes]) -> None:
    """Write the files of a run."""
    seed, setting = number % SEEDS, number // SEEDS
    random = np.random.default_rng(number)
    (folder / "samples").mkdir(parents=True)
    config: dict[str, Any] = {
        "seed": seed,
        "batch_size": 64,
        "network": {"width": 16 + setting},
        "budget": {"images": IMAGES},
        **{f"part{i}": {"_target_": f"saddlepoint.parts.Part{i}", "weight": i, "name": "x" * 20} for i in range(40)},
        "choices": {"model": f"model{setting % 8}", "data": "cifar10", "network": "dcgan"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    seen = np.linspace(0, IMAGES, rows).astype(int).tolist()
    values = random.normal(size=(rows, len(SERIES))).cumsum(axis=0).tolist()
    lines = [
        {"images_seen": s, "generator_updates": s // 64, "seconds": s / 500, **dict(zip(SERIES, row, strict=True))}
        for s, row in zip(seen, values, strict=True)
    ]
    cards = []
    for i, images in enumerate(range(0, IMAGES + 1, IMAGES // 10)):
        for name in SCORES:
            value = float(10 + setting % 8 + 50 / (1 + i) + random.normal())
            card = ScoreCard(
                *(name, value, 10_000, None, "cifar10/train:50000@0a1b2c3d", "inception", "1", "bilinear", True),
                *("running", "none", 0, images, images // 64, 1.0, "0123456"),
                real=1.5,
            )
            cards.append(dataclasses.asdict(card))
            lines.append(
                {"images_seen": images, "generator_updates": images // 64, "seconds": images / 500, name: value}
            )
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "scores.jsonl").write_text("".join(json.dumps(card) + "\n" for card in cards))
    summary = {"images_seen": IMAGES, "generator_updates": IMAGES // 64, "seconds": IMAGES / 500, "best": {"fid": 10.0}}
    (folder / "summary.json").write_text(json.dumps(summary))
    for i, images in enumerate(np.linspace(0, IMAGES, len(pictures)).astype(int)):
        (folder / "samples" / f"samples-{images:09d}.png").write_bytes(pictures[(i + number) % len(pictures)])


def opened(file: Path) -> float | None:
    """Return the seconds until a page is loaded and its charts are drawn; None without a browser."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        return None
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        browser.get("about:blank")
        since = time.perf_counter()
        browser.get(file.as_uri())
        ready = "return !!(window.saddlepoint && saddlepoint.views.curves && saddlepoint.views.parallel)"
        while not browser.execute_script(ready):
            time.sleep(0.02)
        return time.perf_counter() - since
    finally:
        browser.quit()


def main() -> None:
    """Write the runs and the page, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--pictures", type=int, default=10)
    asked = parser.parse_args()
    plotting_library()  # bundled once per installation
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pictures = []
        for i in range(asked.pictures):
            file = folder / "picture.png"
            grid(np.random.default_rng(i)).save(file)
            pictures.append(file.read_bytes())
        for number in range(asked.runs):
            write(folder / "runs" / f"{number}_run", number, asked.rows, pictures)
        since, used = time.perf_counter(), time.process_time()
        found = find(str(folder / "runs"))
        table = arrange(found.runs)
        columns = select(table, None)
        read = time.process_time() - used
        report = Report(table, columns, compare(table, columns), "last")
        compared = time.process_time() - used - read
        out = folder / "report.html"
        out.write_text(page(report))
        seconds, processor = time.perf_counter() - since, time.process_time() - used
        print(f"{asked.runs} runs of {asked.rows} rows and {asked.pictures} pictures, {len(report.verdicts)} verdicts")
        print(f"written in {seconds:.1f} s ({processor:.1f} s of processor time: {read:.1f} s reading the runs,")
        print(f"{compared:.1f} s verdicts, {processor - read - compared:.1f} s pictures, curves and the page)")
        print(f"size {out.stat().st_size / 1e6:.1f} MB")
        shown = opened(out)
        print("no browser is installed" if shown is None else f"opened and drawn in {shown:.1f} s")


if __name__ == "__main__":
    main()
