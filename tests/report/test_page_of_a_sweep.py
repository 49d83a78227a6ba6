"""The page of a sweep that was trained, in headless Chromium."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Page
from scipy import stats

pytest.importorskip("vl_convert", reason="vl-convert is not installed: pip install 'saddlepoint[report]'")


@pytest.mark.slow
def test_the_page_of_a_sweep_that_was_trained(driver: Any, tmp_path: Path) -> None:
    """Four models with three seeds on the digits: the rows, the verdicts against SciPy, the slider, and no requests."""
    models, scored = ("dcgan", "lsgan", "ragan", "dragan"), 320
    small = ("network.width=4", f"budget.images={2 * scored}", "batch_size=32", "features=random", "logger=none")
    times = [f"callbacks.{name}.every_images={scored}" for name in ("scores", "samples")]
    counts = ("callbacks.scores.n=64", "callbacks.samples.n=4", "optimizer.schedule=constant")
    program = [sys.executable, "-m", "saddlepoint.commands"]
    sweep = ("train", "-m", f"model={','.join(models)}", "seed=0,1,2", "hydra.sweep.dir=sweep")
    for command in ((*sweep, *small, *times, *counts), ("report", "runs=sweep")):
        done = subprocess.run([*program, *command], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    page = Page(driver, tmp_path / "report.html")
    assert page.texts("#about")[0].startswith("12 runs · 4 settings · all runs saw 640 images")
    assert [text.lstrip("▸") for text in page.texts("#table tr.group td:nth-child(2)")] == list(models)
    values = {
        model: [last_score(next((tmp_path / "sweep").glob(f"*_{model}_digits_seed{seed}"))) for seed in range(3)]
        for model in models
    }
    sentences = page.texts("#comparisons tr td:first-child")
    assert len(sentences) == 6
    numbers = r": ([-+]?[\d.]+) \[([-+]?[\d.]+), ([-+]?[\d.]+)\], 3 seeds"
    for sentence in sentences:
        one, other = re.split(r" and | has a \w+ fid_random than |: ", sentence)[:2]
        difference = np.array(values[one]) - values[other]
        error = stats.sem(difference)
        expected = [difference.mean(), *stats.t.interval(0.95, 2, difference.mean(), error)]
        found = re.search(numbers, sentence)
        assert found is not None, sentence
        np.testing.assert_allclose([float(number) for number in found.groups()], expected, rtol=1e-3)
    before = page.run("return document.querySelector('#gallery img').src")
    page.choose("slider", "0", "input")
    assert page.run("return document.querySelector('#gallery img').src") != before
    assert page.requests() == [(tmp_path / "report.html").as_uri()]
    assert [entry for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []


def last_score(run: Path) -> float:
    """Return the last fid_random of a run."""
    cards = [json.loads(line) for line in (run / "scores.jsonl").read_text().splitlines()]
    return float([card["value"] for card in cards if card["metric"] == "fid_random"][-1])
