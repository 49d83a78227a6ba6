from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from saddlepoint.writing import read_json_lines


def only(paths: Any) -> Path:
    (path,) = paths
    assert isinstance(path, Path)
    return path


def test_a_sweep_is_a_run_and_a_record_a_job_and_one_table(invoke: Any, tiny: tuple[str, ...], tmp_path: Path) -> None:
    quick = [*tiny, "budget.images=128", "features=random", "network=mlp"]
    outcome = invoke("train", "-m", "model=dcgan,lsgan", "seed=0,1", *quick)
    assert outcome.code == 0, outcome.err
    sweep = only((tmp_path / "outputs" / "sweeps").iterdir())
    names = ["0_dcgan_digits_seed0", "1_dcgan_digits_seed1", "2_lsgan_digits_seed0", "3_lsgan_digits_seed1"]
    assert sorted(path.name for path in sweep.iterdir() if path.is_dir()) == names
    for name in names:
        record = only((sweep / name / "wandb").glob("offline-run-*"))
        asked = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(record)]
        lines = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
        entries = [json.loads(line) for line in lines]
        run = next(entry["run"] for entry in entries if entry["type"] == "run")
        assert run["run_group"] == sweep.name
        assert run["display_name"] == name
        assert run["config"]["update"]["choices"]["model"] == name.split("_")[1]
        logged = [e["history"]["item"]["images_seen"] for e in entries if e["type"] == "history"]
        assert max(logged) == 128
    jobs = read_json_lines(sweep / "jobs.jsonl")
    assert [(job["num"], job["status"]) for job in jobs] == [(i, "done") for i in range(4)]
    assert jobs[3]["overrides"][:2] == ["model=lsgan", "seed=1"]
    table = outcome.out[outcome.out.index("4 jobs in ") :]
    for i, name in enumerate(names):
        summary = json.loads((sweep / name / "summary.json").read_text())
        row = next(line for line in table.splitlines() if f"model={name.split('_')[1]} seed={i % 2}" in line)
        assert f"{summary['last']['fid_random']:.4g}" in row
        assert "128" in row


def test_a_job_that_fails_does_not_stop_the_others(invoke: Any, tiny: tuple[str, ...], tmp_path: Path) -> None:
    quick = [*tiny, "budget.images=128", "features=random", "logger=none", "network=mlp"]
    outcome = invoke("train", "--multirun", "batch_size=64,5000,32", *quick[:2], *quick[3:])
    assert outcome.code == 1
    sweep = only((tmp_path / "outputs" / "sweeps").iterdir())
    assert len(list(sweep.glob("*/summary.json"))) == 2
    jobs = read_json_lines(sweep / "jobs.jsonl")
    assert [job["status"] for job in jobs] == ["done", "failed", "done"]
    assert "5000 is more than the 1,472 training samples" in jobs[1]["error"]
    assert "failed: " in outcome.out
    errors = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "a job of the sweep failed: batch_size: 5000" in errors[0]
    assert "Traceback" not in outcome.err


def test_a_sweeps_record_holds_no_variable_that_its_overrides_name(
    invoke: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARMLESS_NAME", "correct-horse")
    outcome = invoke("train", "-m", "seed=0,1", "run.name=${oc.env:HARMLESS_NAME}")
    assert outcome.code == 1
    jobs = read_json_lines(only((tmp_path / "outputs" / "sweeps").iterdir()) / "jobs.jsonl")
    assert [job["overrides"][0] for job in jobs] == ["seed=0", "seed=1"]
    assert all("HARMLESS_NAME" in job["overrides"][1] for job in jobs)
    assert all("refers to something other than" in job["error"] for job in jobs)
    assert not any("correct-horse" in path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "correct-horse" not in outcome.out + outcome.err


def test_two_sweeps_never_share_a_folder(invoke: Any, tiny: tuple[str, ...], tmp_path: Path) -> None:
    quick = [*tiny, "budget.images=64", "features=none", "logger=none", "network=mlp"]
    for _ in range(2):
        assert invoke("train", "-m", "seed=0", *quick).code == 0
    assert len(list((tmp_path / "outputs" / "sweeps").iterdir())) == 2


@pytest.mark.parametrize("given", ["run.dir=X", "run.dir=X,Y", "++run.dir=X"])
def test_one_folder_for_all_jobs_is_refused(refuse: Any, tiny: tuple[str, ...], given: str) -> None:
    line = refuse("train", "-m", *tiny, given, "seed=0,1")
    assert line.startswith("run.dir: the runs of a sweep cannot share a folder")
    assert "with -m, set hydra.sweep.dir instead" in line


def test_one_folder_that_an_experiment_names_is_refused(invoke: Any, tiny: tuple[str, ...], tmp_path: Path) -> None:
    """Also if the experiment is varied, so that the error is only found in the jobs."""
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    for name in ("a", "b"):
        text = f"# @package _global_\nrun: {{ dir: {name} }}\n"
        (tmp_path / "mine" / "experiment" / f"{name}.yaml").write_text(text)
    quick = (*tiny, "network=mlp", "features=none", "logger=none", "--config-dir", str(tmp_path / "mine"))
    outcome = invoke("train", "-m", "experiment=a", "seed=0,1", *quick)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("error: run.dir: the runs of a sweep cannot share a folder")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    outcome = invoke("train", "-m", "experiment=a,b", *quick)
    assert outcome.code == 1
    assert outcome.err.splitlines()[-1].startswith(
        "error: a job of the sweep failed: run.dir: the runs of a sweep cannot share a folder"
    )


@pytest.mark.parametrize("command", ["train", "sample", "evaluate"])
def test_a_sweep_that_cannot_be_written_is_one_line(refuse: Any, tmp_path: Path, command: str) -> None:
    (tmp_path / "notes.txt").touch()
    for folder, why in (("/proc/x", "No such file or directory"), ("notes.txt/x", "Not a directory")):
        line = refuse(command, "-m", "seed=0,1", f"hydra.sweep.dir={folder}")
        assert line == f"cannot write to {folder}: {why}; set hydra.sweep.dir to a folder that can be written"
