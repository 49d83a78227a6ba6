"""What users write is printed as it is, pipes may be closed, and simple questions are answered without torch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saddlepoint.commands import sweep_table
from saddlepoint.writing import append_json_line, read_json_lines

ODD = ["[r1]", "[x]", "[/x]", "[bold]", r"\[", "a\\", ":smile:", "100%", "{0}", "[link=x]y"]


def test_the_table_of_a_sweep_prints_settings_and_errors_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, text in enumerate(ODD):
        job = {"num": number, "overrides": [f"run.name={text}"], "status": "failed"}
        append_json_line(tmp_path / "jobs.jsonl", {**job, "error": f"no {text}; pip install 'saddlepoint[report]'"})
    sweep_table.show(tmp_path)
    out = capsys.readouterr().out
    for number, text in enumerate(ODD):
        assert f"  {number}   run.name={text} " in out
        end = f"failed: no {text}; pip install 'saddlepoint[report]'\n"
        assert f"job {number} (run.name={text}) {end}" in out


def test_paths_are_printed_as_they_are_and_the_cards_are_kept(invoke: Any, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1), dtype=np.uint8)
    for index, name in enumerate(("x[/y].npz", ":smile: [bold].npz", "100%.npz")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.savez(tmp_path / name, images=images)
        asked = ("data=digits", "data.image_size=8", "features=random", "metrics=[duplicates]")
        outcome = invoke("evaluate", f"samples='{name}'", *asked, f"out='[bold]{index} :smile:'")
        assert outcome.code == 0, outcome.err
        assert name in outcome.out
        assert f"cards appended to [bold]{index} :smile:\n" in outcome.out
        assert read_json_lines(tmp_path / f"[bold]{index} :smile:")


@pytest.mark.parametrize(("encoding", "shown"), [("utf-8", "caf? …\n"), ("ascii", "caf? ?\n")])
def test_what_stdout_cannot_encode_is_replaced(encoding: str, shown: str) -> None:
    """A file name that is not UTF-8 has surrogates, which cannot be encoded."""
    script = r"from saddlepoint.terminal import say; say('caf\udce9 \u2026')"
    settings = {**os.environ, "PYTHONIOENCODING": f"{encoding}:strict"}
    done = subprocess.run([sys.executable, "-c", script], env=settings, capture_output=True, check=False)
    assert (done.returncode, done.stdout.decode(encoding), done.stderr) == (0, shown, b"")


SCRIPT = "import sys; from saddlepoint.commands.main import main; main()"


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_closed_pipe_is_no_error(command: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, command, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # as `head` does
        assert process.stderr.read() == b""
    assert process.returncode == 128 + signal.SIGPIPE


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("train", "--help"), 0),
        (("sample", "--cfg", "job"), 0),
        (("train", "model=dcgna"), 2),
        (("train", "-m", "model=dcgan,lsgna"), 2),
        (("train", "batch_sise=3"), 2),
        (("train", "batch_size=0"), 2),
        (("evaluate", "n=x"), 2),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else "",
)
def test_simple_questions_are_answered_without_torch(arguments: tuple[str, ...], code: int, tmp_path: Path) -> None:
    """Importing it takes seconds."""
    script = (
        "import sys\n"
        "from saddlepoint.commands.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    assert not {'torch', 'pytorch_lightning', 'wandb'} & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("error: ") if code else done.stderr == ""
    assert not any(tmp_path.iterdir())
