"""The table at the end of a sweep, from records that are written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from saddlepoint.commands import sweep_table
from saddlepoint.writing import append_json_line

LONG = ["optimizer.generator.lr=0.00012345", "optimizer.discriminator.lr=0.00054321", "network.generator.width=128"]


def record(sweep: Path, number: int, status: str, *overrides: str, best: tuple[str, float] | None = None) -> None:
    error = "no luck" if status == "failed" else None
    line = {"num": number, "overrides": ["data=mnist", *overrides], "status": status, "error": error}
    append_json_line(sweep / "jobs.jsonl", line)
    if status == "done":
        scores = (
            {"last": {best[0]: best[1] + 1, "is": 1.0}, "best": dict([best])} if best else {"last": {}, "best": None}
        )
        (sweep / f"{number}_run").mkdir()
        summary = {"images_seen": 1_234_567, "seconds": 3723.4, **scores}
        (sweep / f"{number}_run" / "summary.json").write_text(json.dumps(summary))


def test_long_settings_are_folded_into_80_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(12):
        record(tmp_path, number, "started", *LONG, f"seed={number}")
        record(tmp_path, number, "done", *LONG[number % 3 :], f"seed={number}", best=("fid_classifier", number + 0.5))
    sweep_table.show(tmp_path)
    _, *lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "data=mnist" not in "".join(lines)
    (row,) = [line for line in lines if line.split()[:1] == ["11"]]
    assert row.split()[-4:] == ["12.5", "11.5", "1,234,567", "1:02:03"]


def test_the_last_line_of_a_job_counts_and_one_that_has_not_ended_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path, 0, "started", "seed=0")
    record(tmp_path, 1, "failed", "seed=1")
    record(tmp_path, 1, "done", "seed=1", best=("fid_random", 2.0))
    record(tmp_path, 2, "done", "seed=2", best=("mixture_kl", 0.25))
    jobs = sweep_table.show(tmp_path)
    assert [job.error for job in jobs] == [sweep_table.UNFINISHED, None, None]
    _, head, _, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["job", "settings", "score", "best", "images", "time"]
    assert rows[0].split() == ["0", "seed=0", "failed"]
    assert rows[1].split()[:5] == ["1", "seed=1", "fid_random", "3", "2"]
    assert rows[2].split()[:5] == ["2", "seed=2", "mixture_kl", "1.25", "0.25"]
    assert rows[3] == f"job 0 (seed=0) failed: {sweep_table.UNFINISHED}"


def test_the_error_of_a_failed_job_is_a_line_below_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    error = "batch_size: 5000 is more than the 1,472 training samples; " + "choose a smaller one, or more data " * 5
    record(tmp_path, 0, "done", *LONG, "seed=0", best=("fid_classifier", 12.5))
    append_json_line(
        tmp_path / "jobs.jsonl", {"num": 1, "overrides": ["seed=1"], "status": "failed", "error": error.strip()}
    )
    sweep_table.show(tmp_path)
    *table, last = capsys.readouterr().out.splitlines()
    assert last == f"job 1 (seed=1) failed: {error.strip()}"
    (row,) = [line for line in table if line.split()[:1] == ["1"]]
    assert row.split() == ["1", "seed=1", "failed"]
    assert max(map(len, table[1:])) <= 80
    assert all(word not in " ".join(table) for word in ("batch_size", "5000", "smaller"))
