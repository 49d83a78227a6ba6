from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from saddlepoint.errors import UserError
from saddlepoint.report.runs import find


def names(places: str | list[str]) -> list[str]:
    return [run.path.name for run in find(places).runs]


def test_a_fresh_process_imports_no_heavy_package() -> None:
    program = (
        "import pkgutil, importlib, sys, saddlepoint.report as r\n"
        "for m in pkgutil.walk_packages(r.__path__, 'saddlepoint.report.'): importlib.import_module(m.name)\n"
        "heavy = {'torch', 'pytorch_lightning', 'lightning_fabric', 'hydra', 'omegaconf', 'wandb', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_runs_sweeps_and_patterns_in_any_mixture_give_each_run_once(
    sweep: Path, write_run: Any, tmp_path: Path
) -> None:
    write_run(tmp_path / "alone")
    everything = find([str(tmp_path), str(sweep), f"{sweep}/*_lsgan_*", str(tmp_path / "alone"), f"{tmp_path}/**"])
    assert len(everything.runs) == 13
    assert len({run.path.resolve() for run in everything.runs}) == 13
    assert names(f"{sweep}/*_lsgan_*") == [f"{3 + seed}_lsgan_digits_seed{seed}" for seed in range(3)]
    assert names(str(tmp_path / "alone")) == ["alone"]
    assert names(str(sweep))[-2:] == ["10_wgan_gp_digits_seed1", "11_wgan_gp_digits_seed2"]
    assert find(str(sweep)).runs[4].overrides == ["model=lsgan", "seed=1", "budget.images=6400"]
    assert find(str(tmp_path / "alone")).runs[0].overrides is None


def test_a_run_without_a_summary_counts(write_run: Any, tmp_path: Path) -> None:
    path = write_run(tmp_path / "killed", final=3.0, finished=False)
    with (path / "history.jsonl").open("a") as file:
        file.write('{"images_seen": 6464, "generator_updates": 101, "sec')  # killed while writing
    (run,) = find(str(path)).runs
    assert not run.finished
    assert (run.images_seen, run.generator_updates) == (6400, 100)
    assert run.hours == pytest.approx(6.4 / 3600)
    assert run.cards[-1].value == 3.0
    kinds = [(picture.kind, picture.images_seen) for picture in run.pictures if picture.kind == "samples"]
    assert kinds == [("samples", 0), ("samples", 2133), ("samples", 4266), ("samples", 6400)]


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("config.yaml", "a: [", "config.yaml is damaged"),
        ("config.yaml", "a: 1", "config.yaml is not that of a run: it has no choices"),
        ("config.yaml", "choices: {}", "config.yaml is not that of a run: it has no seed"),
        ("config.yaml", "!!python/object/apply:os.system ['touch ran']", "config.yaml is damaged"),
        ("scores.jsonl", '{"metric": "fid"}\n', "scores.jsonl: not a score card"),
        ("summary.json", "[]", "summary.json is not that of a run"),
        ("summary.json", "{", "summary.json is damaged"),
    ],
)
def test_a_damaged_folder_is_named_in_one_line(
    file: str, content: str, reason: str, write_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(Path("good"))
    write_run(Path("bad"))
    (Path("bad") / file).write_text(content)
    found = find(".")
    assert [run.path for run in found.runs] == [Path("good")]
    (line,) = found.problems
    assert line.startswith(f"bad is left out: {reason}")
    assert "\n" not in line
    assert not Path("ran").exists()


def test_failed_jobs_are_named(sweep: Path) -> None:
    with (sweep / "jobs.jsonl").open("a") as file:
        file.write(json.dumps({"num": 12, "overrides": [], "status": "failed", "error": "loss is nan\nmore"}) + "\n")
    assert find(str(sweep)).problems == [f"{sweep}: job 12 failed: loss is nan"]
    assert find([str(sweep), f"{sweep}/"]).problems == [f"{sweep}: job 12 failed: loss is nan"]


def test_places_without_a_run_and_damaged_summaries_are_named(sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (summary,) = sweep.glob("3_*/summary.json")
    summary.write_text('{"images_seen": 1')
    found = find([str(sweep), str(tmp_path / "empty")])
    assert len(found.runs) == 11
    assert found.problems == [
        f"{tmp_path}/empty is left out: no folder with a config.yaml in it",
        f"{summary.parent} is left out: summary.json is damaged",
    ]


def test_no_runs_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="runs: no such folder: nowhere;"):
        find("nowhere")
    with pytest.raises(UserError, match=r"runs: no runs in .*empty; a run's folder contains config.yaml"):
        find(str(tmp_path / "empty"))
