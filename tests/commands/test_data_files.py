"""Runs on shards, parquet files and data sets of torchvision, by the commands in docs/data.md."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from shards import write_parquet, write_shards

from saddlepoint.tracking.checkpoints import load

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
SMALL = ("data.image_size=8", "batch_size=8", "network.width=4", "budget.images=24", "features=none", "logger=none")


def documented(choice: str) -> list[str]:
    """Return the first command of the page that trains on this choice of data, split as a shell does."""
    (line, *_) = re.findall(rf"^    python train\.py (data={choice} .*)$", PAGE, re.MULTILINE)
    return shlex.split(line)


@pytest.mark.parametrize("choice", ["webdataset", "huggingface", "torchvision"])
def test_the_documented_command_trains(invoke: Any, tmp_path: Path, choice: str) -> None:
    if choice == "webdataset":
        write_shards(tmp_path / "shards", shards=10, images=4)
    if choice == "huggingface":
        pytest.importorskip("datasets", reason="the extra huggingface is not installed")
        write_parquet(tmp_path / "flowers" / "train.parquet", range(40))
    if choice == "torchvision":
        meta, images = tmp_path / "data" / "food-101" / "meta", tmp_path / "data" / "food-101" / "images" / "pie"
        meta.mkdir(parents=True)
        images.mkdir(parents=True)
        for split in ("train", "test"):
            (meta / f"{split}.json").write_text(
                f'{{"pie": {[f"pie/{split}{i}" for i in range(20)]}}}'.replace("'", '"')
            )
            for i in range(20):
                Image.fromarray(np.full((9, 9, 3), i, dtype=np.uint8)).save(images / f"{split}{i}.jpg")
    outcome = invoke(
        "train", *documented(choice), *SMALL, "run.dir=run", "data.cache_dir=cache", "callbacks.samples.n=4"
    )
    assert outcome.code == 0, outcome.err
    checkpoint = load(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert checkpoint["progress"]["images_seen"] == 24


def test_data_that_are_missing_are_one_line_that_says_where_they_are(invoke: Any, tmp_path: Path) -> None:
    for choice, place in (("afhq", "github.com/clovaai/stargan-v2"), ("tiny_imagenet", "tiny-imagenet-200.zip")):
        outcome = invoke("train", f"data={choice}")
        assert outcome.code == 2
        (line,) = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
        assert line.startswith("error: data.root: data/")
        assert place in line
    assert not list(tmp_path.iterdir())
