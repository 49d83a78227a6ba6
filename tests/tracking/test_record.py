from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.systems.progress import Progress
from saddlepoint.tracking.local import LocalLogger
from saddlepoint.tracking.record import RunRecord
from saddlepoint.writing import read_json_lines


def card(metric: str, value: float, images_seen: int) -> ScoreCard:
    return ScoreCard(
        metric=metric,
        value=value,
        n=64,
        splits=None,
        reference="digits/train:1472@00000000",
        features="random",
        features_version="1",
        resize="none",
        ema=True,
        batchnorm="running",
        labels="none",
        seed=0,
        images_seen=images_seen,
        generator_updates=images_seen // 64,
        seconds=0.5,
        revision="abc",
    )


def record(directory: Path, monitor: str | None) -> RunRecord:
    return RunRecord(directory, [LocalLogger(directory)], monitor)


def add(run: RunRecord, images_seen: int, **values: float) -> bool:
    progress = Progress(images_seen=images_seen, generator_updates=images_seen // 64, seconds=1.23456)
    run.add(progress, [card(metric, value, images_seen) for metric, value in values.items()], seconds=2.0)
    return run.is_best(progress)


def test_best_is_the_lowest_of_a_distance(tmp_path: Path) -> None:
    run = record(tmp_path, "fid_random")
    improved = [add(run, i * 100, fid_random=v, kid_random=-v) for i, v in enumerate([9.0, 5.0, 7.0, 5.0, 4.0])]
    assert improved == [True, True, False, False, True]
    assert run.best is not None
    assert (run.best.value, run.best.images_seen) == (4.0, 400)
    assert (run.first["fid_random"].value, run.latest["fid_random"].value) == (9.0, 4.0)
    assert run.evaluation_seconds == 10.0


def test_a_restored_record_goes_on_where_the_other_stopped(tmp_path: Path) -> None:
    first = record(tmp_path, "fid_random")
    add(first, 0, fid_random=9.0, kid_random=1.0)
    add(first, 100, fid_random=5.0, kid_random=2.0)
    state = first.state()
    add(first, 200, fid_random=4.0, kid_random=3.0)  # written after the checkpoint
    second = record(tmp_path, "fid_random")
    second.restore(state, Progress(images_seen=100))
    assert second.best == card("fid_random", 5.0, 100)
    assert second.first == {m: card(m, v, 0) for m, v in {"fid_random": 9.0, "kid_random": 1.0}.items()}
    assert second.latest == {m: card(m, v, 100) for m, v in {"fid_random": 5.0, "kid_random": 2.0}.items()}
    assert add(second, 200, fid_random=4.5)
    assert [row["images_seen"] for row in read_json_lines(tmp_path / "history.jsonl")] == [0, 100, 200]


def test_best_is_the_highest_of_a_score(tmp_path: Path) -> None:
    run = record(tmp_path, "is_classifier")
    assert [add(run, i, is_classifier=v) for i, v in enumerate([2.0, 5.0, 3.0])] == [True, True, False]


def test_the_value_of_real_images_is_logged_beside_the_score(tmp_path: Path) -> None:
    run, cards = record(tmp_path, None), [card("fid_random", 9.0, 100), card("kid_random", 2.0, 100)]
    run.add(Progress(images_seen=100), [replace(cards[0], real=0.98), cards[1]], seconds=2.0)
    (row,) = read_json_lines(tmp_path / "history.jsonl")
    assert {key: value for key, value in row.items() if "random" in key} == {
        "fid_random": 9.0,
        "real/fid_random": 0.98,
        "kid_random": 2.0,
    }


def test_without_a_monitor_nothing_is_best(tmp_path: Path) -> None:
    run = record(tmp_path, None)
    assert not add(run, 0, fid_random=1.0)
    assert run.state()["best"] is None
    assert "fid_random_best" not in read_json_lines(tmp_path / "history.jsonl")[0]


def test_an_evaluation_is_a_card_a_line_and_one_row(tmp_path: Path) -> None:
    run = record(tmp_path, "fid_random")
    add(run, 0, fid_random=9.0, kid_random=0.25)
    add(run, 640, fid_random=10.0, kid_random=0.5)
    lines = (tmp_path / "scores.jsonl").read_text().splitlines()
    assert [ScoreCard.from_json(line) for line in lines] == [
        card("fid_random", 9.0, 0),
        card("kid_random", 0.25, 0),
        card("fid_random", 10.0, 640),
        card("kid_random", 0.5, 640),
    ]
    stated = json.loads(lines[0]).keys()
    assert {"metric", "value", "n", "images_seen", "features", "reference", "ema", "seed"} <= stated
    assert read_json_lines(tmp_path / "history.jsonl")[1] == {
        "images_seen": 640,
        "generator_updates": 10,
        "seconds": 1.235,
        "fid_random": 10.0,
        "kid_random": 0.5,
        "fid_random_best": 9.0,
        "evaluation_seconds": 2.0,
    }


def test_headlines_begin_with_the_monitored_score(tmp_path: Path) -> None:
    run = record(tmp_path, "fid_random")
    add(run, 0, kid_random=1.0, duplicates_random=0.5, duplicates_pixels=0.25, fid_random=3.0)
    assert [one.metric for one in run.headlines()] == ["fid_random", "kid_random", "duplicates_random"]


@pytest.mark.parametrize(("value", "text"), [(float("nan"), "nan"), (float("inf"), "inf"), (-float("inf"), "-inf")])
def test_a_loss_that_is_no_number_does_not_break_the_history(tmp_path: Path, value: float, text: str) -> None:
    record(tmp_path, None).log(Progress(images_seen=3), {"generator/loss": value, "discriminator/loss": 1.5})
    (row,) = read_json_lines(tmp_path / "history.jsonl")
    assert (row["generator/loss"], row["discriminator/loss"]) == (text, 1.5)


def test_pictures_lie_under_samples_by_progress(tmp_path: Path) -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    path = record(tmp_path, None).log_picture(Progress(images_seen=1234), "samples", Image.fromarray(pixels))
    assert path == tmp_path / "samples" / "samples-000001234.png"
    assert (np.asarray(Image.open(path)) == pixels).all()
