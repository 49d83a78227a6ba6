from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from saddlepoint.commands import sweep as sweep_files
from saddlepoint.metrics.cards import short
from saddlepoint.writing import read_json_lines


def test_a_summary_that_was_not_written_is_that_of_no_finished_run(tmp_path: Path) -> None:
    assert sweep_files.summary(tmp_path, 0) == {}
    (tmp_path / "0_dcgan").mkdir()
    assert sweep_files.summary(tmp_path, 0) == {}
    for text, expected in (("", {}), ('{"best"', {}), ('{"best": {"fid": 1.0}}', {"best": {"fid": 1.0}})):
        (tmp_path / "0_dcgan" / "summary.json").write_text(text)
        assert sweep_files.summary(tmp_path, 0) == expected


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
    assert [(job["num"], job["status"]) for job in jobs] == [(i, s) for i in range(4) for s in ("started", "done")]
    assert jobs[-1]["overrides"][:2] == ["model=lsgan", "seed=1"]
    title, head, _, *rows = outcome.out[outcome.out.index("4 jobs in ") :].rstrip().splitlines()
    assert title == f"4 jobs in {sweep.relative_to(tmp_path)}"
    assert head.split() == ["job", "settings", "fid_random", "best", "images", "time"]
    assert all(len(line) <= 80 for line in (head, *rows))
    for i, name in enumerate(names):
        summary = json.loads((sweep / name / "summary.json").read_text())
        number, model, seed, last, best, images, time = rows[i].split()
        assert [number, model, seed] == [str(i), f"model={name.split('_')[1]}", f"seed={i % 2}"]
        assert last == short(summary["last"]["fid_random"])
        assert best == short(summary["best"]["fid_random"])
        assert images == "128"
        assert time == f"0:00:{round(summary['seconds']):02d}"


def test_a_job_that_fails_does_not_stop_the_others(invoke: Any, tiny: tuple[str, ...], tmp_path: Path) -> None:
    quick = [*tiny, "budget.images=128", "features=random", "logger=none", "network=mlp"]
    outcome = invoke("train", "--multirun", "batch_size=64,5000,32", *quick[:2], *quick[3:])
    assert outcome.code == 1
    sweep = only((tmp_path / "outputs" / "sweeps").iterdir())
    assert len(list(sweep.glob("*/summary.json"))) == 2
    jobs = read_json_lines(sweep / "jobs.jsonl")
    assert [job["status"] for job in jobs[1::2]] == ["done", "failed", "done"]
    assert "5000 is more than the 1,472 training samples" in jobs[3]["error"]
    *_, rows_of_table, failure = outcome.out.rstrip().rsplit("\n", 2)
    assert rows_of_table.split()[:2] == ["2", "batch_size=32"]
    assert failure.startswith(
        "job 1 (batch_size=5000) failed: batch_size: 5000 is more than the 1,472 training samples"
    )
    errors = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    resuming = f"saddlepoint train sweep.resume={sweep.relative_to(tmp_path)}"
    assert errors == [f"error: 1 of 3 jobs failed; to run what has not finished: {resuming}"]
    assert "Traceback" not in outcome.err


def test_a_resumed_sweep_runs_what_has_not_finished(invoke: Any, tiny: tuple[str, ...], tmp_path: Path) -> None:
    """A finished job is not touched, one that failed is tried again, and one without a checkpoint starts over."""
    quick = [*tiny[:2], *tiny[3:], "budget.images=128", "features=random", "logger=none", "network=mlp"]
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    experiment = tmp_path / "mine" / "experiment" / "own.yaml"
    experiment.write_text("# @package _global_\nbatch_size: 5000\n")
    experiment.with_name("plain.yaml").write_text("# @package _global_\nbatch_size: 64\n")
    sweep, own = tmp_path / "sweep", ["--config-dir", str(tmp_path / "mine")]
    outcome = invoke("train", "-m", "experiment=plain,own", "seed=0,1", *quick, *own, "hydra.sweep.dir=sweep")
    assert outcome.code == 1
    assert "2 of 4 jobs failed" in outcome.err
    experiment.write_text("# @package _global_\nbatch_size: 32\n")
    before = {path: path.stat().st_mtime_ns for path in sweep.glob("0_*/**/*")}
    (sweep / "1_dcgan_digits_seed1" / "summary.json").unlink()  # as if its process had been killed
    for file in (sweep / "1_dcgan_digits_seed1" / "checkpoints").iterdir():
        file.unlink()
    refused = invoke("train", "sweep.resume=sweep")
    assert refused.code == 2
    assert (
        f"sweep.resume: the sweep has a config folder, which can name code; to trust it, add {'='.join(own)}"
        in refused.err
    )
    again = invoke("train", "sweep.resume=sweep", *own)
    assert again.code == 0, again.err
    names = ["0_dcgan_digits_seed0", "1_dcgan_digits_seed1", "2_dcgan_digits_seed0", "3_dcgan_digits_seed1"]
    assert sorted(path.name for path in sweep.iterdir() if path.is_dir()) == names
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert all((sweep / name / "checkpoints" / "last.ckpt").exists() for name in names)
    assert [row["images_seen"] for row in read_json_lines(sweep / names[1] / "history.jsonl")].count(128) == 2
    assert "4 jobs in sweep" in again.out
    assert not re.search("failed|experiment=own +[^s]", again.out)
    assert "sweep.resume" not in invoke("report", "runs=sweep", "format=markdown").out
    assert invoke("train", "sweep.resume=sweep", *own).code == 0  # again, and nothing is left to do
    assert {path: path.stat().st_mtime_ns for path in before} == before


OWN = """# @package _global_
batch_size: 32
hydra: {sweeper: {params: {seed: "0,1", model.latent_dim: "4,8"}}}
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """An experiment that defines a sweep."""
    path = tmp_path / "mine" / "experiment" / "own.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(OWN)
    return path


def test_an_experiment_can_define_a_sweep(invoke: Any, tiny: tuple[str, ...], own: Path, tmp_path: Path) -> None:
    """The command line has precedence. A resumed sweep keeps its values, whatever the file says by then."""
    small = ["budget.images=64", "features=none", "logger=none", "network=mlp", *tiny[3:]]
    line = ["experiment=own", *small, "--config-dir=mine"]
    assert invoke("train", "-m", *line, "seed=1,2", "hydra.sweep.dir=sweep").code == 0
    jobs = [job for job in read_json_lines(tmp_path / "sweep" / "jobs.jsonl") if job["status"] == "done"]
    asked = [("seed=1", 4), ("seed=1", 8), ("seed=2", 4), ("seed=2", 8)]
    assert [job["overrides"][:3] for job in jobs] == [[s, f"model.latent_dim={d}", "experiment=own"] for s, d in asked]
    runs = sorted((tmp_path / "sweep").glob("*/config.yaml"))
    configs = [OmegaConf.load(path) for path in runs]
    assert [(f"seed={config.seed}", config.model.latent_dim) for config in configs] == asked
    assert {config.batch_size for config in configs} == {32}
    own.write_text(OWN.replace("4,8", "2,16"))
    shutil.rmtree(runs[3].parent)
    again = invoke("train", "sweep.resume=sweep", "--config-dir=mine")
    assert again.code == 0, again.err
    assert OmegaConf.load(only((tmp_path / "sweep").glob("3_*/config.yaml"))).model.latent_dim == 8
    assert "4 jobs in sweep" in again.out
    single = invoke("train", *line, "run.dir=single")  # without -m
    assert single.code == 0, single.err
    assert OmegaConf.load(tmp_path / "single" / "config.yaml").model.latent_dim == 100


def test_mistakes_in_an_experiments_sweep(refuse: Any, own: Path) -> None:
    line = ("train", "-m", "--config-dir=mine")
    assert refuse(*line, "experiment=own,quick/dcgan") == (
        "experiment: it sweeps over seed, model.latent_dim itself, and cannot be one of several experiments; "
        "give it alone, with -m"
    )
    own.write_text(OWN.replace("model.latent_dim", "model.latent_dims"))
    assert refuse(*line, "experiment=own") == "model.latent_dims: unknown key; did you mean 'model.latent_dim'?"


def test_a_job_that_slurm_requeues_continues_its_own_run(
    invoke: Any, tiny: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ("-m", "seed=0", *tiny, "network=mlp", "features=none", "logger=none", "hydra.sweep.dir=sweep")
    assert invoke("train", *line).code == 0
    run = only((tmp_path / "sweep").glob("0_*"))
    (run / "summary.json").unlink()
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    again = invoke("train", *line)
    assert again.code == 0, again.err
    assert only((tmp_path / "sweep").glob("0_*")) == run
    assert json.loads((run / "summary.json").read_text())["images_seen"] == 300


@pytest.mark.parametrize(
    ("task", "hydra", "code"),
    [
        (["plugins=[theirs]"], [], "plugins=[theirs]"),
        ([], ["hydra.launcher._target_=theirs.Launcher"], "hydra.launcher._target_=theirs.Launcher"),
        ([], ["hydra.launcher={_target_: theirs.Launcher}"], "hydra.launcher={_target_: theirs.Launcher}"),
        ([], ["+hydra.callbacks.own._target_=theirs.Callback"], "+hydra.callbacks.own._target_=theirs.Callback"),
        ([], ["hydra.searchpath=[theirs]"], "hydra.searchpath=[theirs]"),
        ([], ["hydra/launcher=theirs"], "hydra/launcher=theirs"),
        ([], ["hydra.launcher.setup=[theirs]"], "hydra.launcher.setup=[theirs]"),
        ([], ["hydra.launcher.n_jobs=${oc.env:HOME}"], "hydra.launcher.n_jobs=${oc.env:HOME}"),
        ([], ["+hydra.job.env_set.PATH=theirs"], "+hydra.job.env_set.PATH=theirs"),
        (["+hydra={callbacks:{x:{_target_:theirs.f}}}"], [], "+hydra={callbacks:{x:{_target_:theirs.f}}}"),
        ([], ["+hydra={job:{env_set:{PATH:theirs}}}"], "+hydra={job:{env_set:{PATH:theirs}}}"),
        (["experiment=../../theirs"], [], "experiment=../../theirs"),
        (["experiment=quick/dcgan,/tmp/theirs"], [], "experiment=quick/dcgan,/tmp/theirs"),
        (["regularizer=[r1,../../theirs]"], [], "regularizer=[r1,../../theirs]"),
        (["+features@hydra.callbacks.x=random"], [], "+features@hydra.callbacks.x=random"),
        (["+loss@plugins=hinge"], [], "+loss@plugins=hinge"),
        (["Experiment=../../theirs"], [], "Experiment=../../theirs"),  # a group where file names have no case
        (
            ["+hydra.launcher.n_jobs={_target_:theirs.f}"],
            ["++hydra.launcher.n_jobs={}"],
            "+hydra.launcher.n_jobs={_target_:theirs.f}",
        ),
        ([], ["hydra.launcher.partition='gpu\ntheirs'"], "hydra.launcher.partition='gpu\ntheirs'"),
        ([], ["~hydra.callbacks"], "~hydra.callbacks"),
    ],
)
def test_a_sweeps_folder_names_no_code(
    refuse: Any, tmp_path: Path, task: list[str], hydra: list[str], code: str
) -> None:
    """The folder may be someone else's."""
    recorded = {"overrides": {"task": ["seed=0,1", *task], "hydra": ["hydra.mode=MULTIRUN", *hydra]}}
    content = {"hydra": {**recorded, "runtime": {"config_sources": []}}}
    (tmp_path / "multirun.yaml").write_text(json.dumps(content))
    code = " ".join(code.split())  # messages have one line
    key = re.split("[=@]", code)[0].lstrip("+~")
    expected = f"{key}: can run code, so it is not taken from the sweep's folder; to trust it, add {code}"
    assert refuse("train", "sweep.resume=.") == expected


def test_variables_that_a_sweeps_folder_names_are_not_read(
    invoke: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARMLESS_NAME", "correct-horse")
    recorded = {
        "overrides": {"task": ["seed=0,1", "run.name=${oc.env:HARMLESS_NAME}"], "hydra": ["hydra.mode=MULTIRUN"]}
    }
    (folder := tmp_path / "theirs").mkdir()
    (folder / "multirun.yaml").write_text(json.dumps({"hydra": {**recorded, "runtime": {"config_sources": []}}}))
    outcome = invoke("train", "sweep.resume=theirs")
    assert outcome.code != 0
    assert "refers to something other than" in outcome.out + outcome.err
    assert "correct-horse" not in outcome.out + outcome.err
    assert not any("correct-horse" in path.read_text() for path in tmp_path.rglob("*") if path.is_file())


def test_mistakes_in_resuming_a_sweep(refuse: Any, tmp_path: Path) -> None:
    assert refuse("train", "sweep.resume=nowhere") == (
        "sweep.resume: no sweep in nowhere; give the folder of a sweep, with multirun.yaml"
    )
    (tmp_path / "multirun.yaml").write_text("a: 1\n")
    assert refuse("train", "-m", "sweep.resume=.").startswith("sweep.resume: no sweep in .;")
    assert refuse("train", "sweep.resume=.", "seed=2") == (
        "seed: cannot be changed when a sweep is resumed; leave it out; jobs keep their settings"
    )


def test_a_sweeps_record_holds_no_variable_that_its_overrides_name(
    invoke: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARMLESS_NAME", "correct-horse")
    outcome = invoke("train", "-m", "seed=0,1", "run.name=${oc.env:HARMLESS_NAME}")
    assert outcome.code == 1
    jobs = read_json_lines(only((tmp_path / "outputs" / "sweeps").iterdir()) / "jobs.jsonl")
    assert [job["overrides"][0] for job in jobs[1::2]] == ["seed=0", "seed=1"]
    assert all("HARMLESS_NAME" in job["overrides"][1] for job in jobs)
    assert all("refers to something other than" in job["error"] for job in jobs[1::2])
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
    assert outcome.err.splitlines()[-1].startswith("error: 2 of 2 jobs failed")
    assert outcome.out.count("failed: run.dir: the runs of a sweep cannot share a folder") == 2


@pytest.mark.parametrize("command", ["train", "sample", "evaluate"])
def test_a_sweep_that_cannot_be_written_is_one_line(refuse: Any, tmp_path: Path, command: str) -> None:
    (tmp_path / "notes.txt").touch()
    for folder, why in (("/proc/x", "No such file or directory"), ("notes.txt/x", "Not a directory")):
        line = refuse(command, "-m", "seed=0,1", f"hydra.sweep.dir={folder}")
        assert line == f"cannot write to {folder}: {why}; set hydra.sweep.dir to a folder that can be written"
