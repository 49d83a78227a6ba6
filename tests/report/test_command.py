"""The command, run in this process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from saddlepoint.commands.main import main
from saddlepoint.commands.repeat import Repetition, command
from saddlepoint.config.compose import composed
from saddlepoint.report.runs import find

pytest.importorskip("vl_convert", reason="vl-convert is not installed: pip install 'saddlepoint[report]'")
Report = Callable[..., tuple[int, str, str]]


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Report:
    """Return a function that runs the command in ``tmp_path`` and returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report.py"])
    for name in ("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "HYDRA_FULL_ERROR"):
        monkeypatch.setenv(name, "1")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            main("report", arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
        finally:
            GlobalHydra.instance().clear()
            HydraConfig.instance().cfg = None
        return code, *capsys.readouterr()

    return run


def test_the_page_is_written_and_written_again(report: Report, sweep: Path, tmp_path: Path) -> None:
    code, out, err = report("runs=sweep")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "12 runs of 4 settings; report written to report.html"
    assert "dragan has a lower fid_classifier than dcgan: -4 [-4.248, -3.752], 3 seeds" in out.splitlines()
    first = (tmp_path / "report.html").read_bytes()
    assert len(first) > 900_000
    code, out, err = report("runs=[sweep,sweep/*_dragan_*]", "out=report.html")
    assert code == 0
    assert "12 runs of 4 settings" in out


def test_text_is_printed_or_written(report: Report, sweep: Path, tmp_path: Path) -> None:
    code, out, _ = report("runs=sweep", "format=json", "value=best")
    assert code == 0
    content = json.loads(out)
    assert content["runs"][4]["command"] == "python train.py model=lsgan seed=1 budget.images=6400"
    assert not (tmp_path / "report.html").exists()
    assert report("runs=sweep", "format=csv", "out=runs.csv")[0] == 0
    assert len((tmp_path / "runs.csv").read_text().splitlines()) == 13


@pytest.mark.parametrize("form", ["latex", "csv"])
def test_what_is_left_out_is_said_on_stderr(report: Report, sweep: Path, form: str) -> None:
    Path("empty").mkdir()
    code, out, err = report("runs=[sweep,empty]", f"format={form}")
    assert code == 0
    assert err == "empty is left out: no folder with a config.yaml in it\n"
    assert "empty" not in out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "runs: no runs are given; set it to folders of runs or of sweeps, such as outputs"),
        (("runs=nowhere",), "runs: no such folder: nowhere; use folders of runs or of sweeps, or a pattern"),
        (("runs=empty",), "runs: no runs in empty; a run's folder contains config.yaml"),
        (("runs=sweep", "format=pdf"), "format: input should be 'html', 'markdown', 'latex', 'csv' or"),
        (("runs=sweep", "out=notes.txt"), "out: notes.txt exists and is not a report; choose another file, or add ov"),
        (("runs=sweep", "out=no/such/report.html"), "cannot write to no/such/report.html: No such file or directory"),
        (("runs=sweep", "metrics=[fid]"), "metrics: no run has the score 'fid'; choose from fid_classifier"),
        (("runs=sweep", "watch=true", "format=csv"), "out: a report that is kept up to date needs a file; set it, or"),
        (("runs=sweep", "watch=true", "watch_seconds=0"), "watch_seconds: input should be greater than 0, got 0"),
        (("run=sweep",), "run: "),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], line: str, report: Report, sweep: Path) -> None:
    Path("empty").mkdir()
    Path("notes.txt").write_text("mine")
    before = sorted(Path().rglob("*"))
    code, out, err = report(*arguments)
    assert code == 2
    assert err.startswith(f"error: {line}")
    assert err.count("\n") == 1
    assert out == ""
    assert sorted(Path().rglob("*")) == before
    assert Path("notes.txt").read_text() == "mine"


def test_a_file_is_replaced_on_request(report: Report, sweep: Path) -> None:
    Path("notes.txt").write_text("mine")
    assert report("runs=sweep", "format=markdown", "out=notes.txt", "overwrite=true")[0] == 0
    assert "wgan_gp" in Path("notes.txt").read_text()


def test_the_command_starts_without_torch(sweep: Path) -> None:
    program = (
        "import sys; from saddlepoint.commands.main import main\n"
        f"main('report', ['runs={sweep}', 'format=csv'])\n"
        "print(sorted({'torch', 'pytorch_lightning', 'wandb'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.endswith("\n[]\n"), done.stderr
    assert len(done.stdout.splitlines()) == 14


def test_a_watched_report_follows_the_runs_and_ends_with_ctrl_c(sweep: Path, write_run: Any, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    arguments = [f"runs={sweep}", "format=json", f"out={out}", "watch=true", "watch_seconds=0.2"]
    handler = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # where CI ignores SIGINT
    program = f"{handler}; from saddlepoint.commands.main import main; main('report', {arguments!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_for(lambda: out.exists() and len(json.loads(out.read_text())["runs"]) == 12)
        write_run(sweep / "12_rgan_digits_seed0", "rgan", finished=False)
        wait_for(lambda: len(json.loads(out.read_text())["runs"]) == 13)  # never an incomplete file
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert errors == ""
    assert output.endswith("stopped\n")


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


LINES = [
    ["model=dcgan", "data=digits", "network.width=8", "budget.images=128", "seed=3"],
    ["model=lsgan", "data=mnist", "loss=hinge", "regularizer=[r1,lecam]", "regularizer.r1.weight=3.5", "seed=0"],
    ["experiment=quick/wgan_gp", "batch_size=32", "logger=none", "trainer.precision=32-true", "seed=1"],
    ["model=vae", "data=image_folder", 'data.root="my pictures/it\'s"', "data.image_size=[32,48]", "seed=0"],
]


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_the_command_of_a_run_leads_to_its_config(line: list[str], tmp_path: Path, write_run: Any) -> None:
    config, choices = composed("train", line)
    content: Any = {**OmegaConf.to_container(config, resolve=False), "choices": choices}
    found_in_data = yaml.safe_load(yaml.safe_dump(content))
    found_in_data["data"]["shape"] = [1, 32, 48]
    path = write_run(tmp_path / "run")
    (path / "config.yaml").write_text(yaml.safe_dump(found_in_data))
    (run,) = find(str(path)).runs
    overrides = Repetition().overrides(run)
    assert overrides is not None
    again, chosen = composed("train", overrides)
    assert chosen == choices
    assert OmegaConf.to_container(again, resolve=False) == OmegaConf.to_container(config, resolve=False)
    assert {one.partition("=")[0] for one in overrides} <= {one.partition("=")[0] for one in line} | {"model", "data"}
    assert command(overrides).startswith("python train.py ")


def test_a_run_whose_choices_do_not_exist_here_has_no_command(tmp_path: Path, write_run: Any) -> None:
    (run,) = find(str(write_run(tmp_path / "run", "mine"))).runs
    assert Repetition().overrides(run) is None


def test_names_of_the_environment_are_not_needed(report: Report, sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("WANDB_", "SADDLEPOINT_"))]:
        monkeypatch.delenv(name)
    assert report("runs=sweep", "format=latex")[0] == 0
