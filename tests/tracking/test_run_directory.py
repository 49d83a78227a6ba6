from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from saddlepoint.errors import UserError
from saddlepoint.tracking.run_directory import claim, contents, create, discard, stamp
from saddlepoint.writing import append_json_line, read_json_lines, write_atomically


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", program, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


CREATE = """
import sys
from pathlib import Path
from saddlepoint.tracking.run_directory import create
root = Path(sys.argv[1])
(root.parent / sys.argv[2]).touch()
while not (root.parent / "go").exists():
    pass
for _ in range(100):
    print(create(root, "run").name)
"""


def test_processes_that_start_at_once_never_share_a_directory(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    processes = [start(CREATE, root, f"ready{i}") for i in range(2)]
    while len(list(tmp_path.glob("ready*"))) < 2:
        assert all(process.poll() is None for process in processes)
        time.sleep(0.01)
    (tmp_path / "go").touch()
    names = [name for process in processes for name in process.communicate(timeout=60)[0].split()]
    assert len(names) == 200
    assert set(names) == {"run", *(f"run-{i}" for i in range(2, 201))}
    assert {folder.name for folder in root.iterdir()} == set(names)


def test_claim_takes_new_and_empty_folders_only(tmp_path: Path) -> None:
    assert claim(tmp_path / "a" / "b").is_dir()
    assert claim(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    with pytest.raises(UserError, match="is not empty"):
        claim(tmp_path / "a")
    assert not any((tmp_path / "a" / "b").iterdir())


def test_a_run_that_has_saved_a_checkpoint_is_not_begun_again(tmp_path: Path) -> None:
    """Another process may have trained between the search for a checkpoint and the claim."""
    (tmp_path / "checkpoints").mkdir()
    for name in ("config.yaml", "history.jsonl"):
        (tmp_path / name).touch()
    assert claim(tmp_path, again=True) == tmp_path
    assert not (tmp_path / "history.jsonl").exists()
    for name in ("history.jsonl", "checkpoints/last.ckpt"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match="has saved a checkpoint since this one was started"):
        claim(tmp_path, again=True)
    assert (tmp_path / "history.jsonl").exists()


def test_what_was_there_before_a_run_is_kept(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "notes.txt").touch()
    before = contents(tmp_path)
    assert before == {"old", "notes.txt"}
    for name in ("samples", "wandb"):
        (tmp_path / name / "deep").mkdir(parents=True)
    (tmp_path / "config.yaml").touch()
    (tmp_path / "link").symlink_to(tmp_path / "old")
    discard(tmp_path, before)
    assert contents(tmp_path) == before
    assert contents(tmp_path / "new") is None
    assert contents(tmp_path / ("a" * 300)) is None
    (tmp_path / "new" / "samples").mkdir(parents=True)
    discard(tmp_path / "new", None)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("make", [lambda path: create(path, "run"), claim], ids=["create", "claim"])
def test_what_cannot_be_written_is_named_with_the_reason(tmp_path: Path, make: object) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write to .*file.runs: Not a directory"):
        make(tmp_path / "file" / "runs")  # type: ignore[operator]


def test_stamp_sorts_by_time() -> None:
    first = stamp()
    assert time.strftime("%Y-%m-%d_%H-%M-%S", time.strptime(first, "%Y-%m-%d_%H-%M-%S")) == first
    assert first <= stamp()


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert read_json_lines(path) == []
    rows = [{"a": 1, "b": "zwei\nZeilen"}, {"a": 0.1 + 0.2}]
    for row in rows:
        append_json_line(path, row)
    assert read_json_lines(path) == rows  # floats are exact
    with path.open("a") as file:
        file.write('{"a": 3, "b"')  # a killed run leaves an incomplete line
    assert read_json_lines(path) == rows
    with pytest.raises(ValueError, match="JSON"):
        append_json_line(path, {"a": float("nan")})
    assert path.read_text().endswith('{"a": 3, "b"')
    append_json_line(path, {"a": 4})  # the resumed run
    assert read_json_lines(path) == [*rows, {"a": 4}]


APPEND = """
import sys
from pathlib import Path
from saddlepoint.writing import append_json_line
for i in range(500):
    append_json_line(Path(sys.argv[1]), {"writer": sys.argv[2], "i": i, "text": "x" * 500})
"""


def test_two_writers_leave_whole_lines(tmp_path: Path) -> None:
    """Concurrent jobs of a sweep append to the same ``jobs.jsonl``."""
    path = tmp_path / "rows.jsonl"
    processes = [start(APPEND, path, name) for name in "ab"]
    for process in processes:
        assert process.wait(timeout=60) == 0
    rows = read_json_lines(path)
    for name in "ab":
        assert [row["i"] for row in rows if row["writer"] == name] == list(range(500))


def test_write_atomically_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"old", b"new"):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


REWRITE = """
import sys
from pathlib import Path
from saddlepoint.writing import write_atomically
while True:
    for letter in b"ab":
        write_atomically(Path(sys.argv[1]), bytes([letter]) * 3_000_000)
"""


def test_a_kill_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    process = start(REWRITE, path)
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.01)
    for i in range(20):  # concurrent readers see complete files too
        time.sleep(0.003 * i / 10)
        content = path.read_bytes()
        assert len(content) == 3_000_000
        assert len(set(content)) == 1
    process.send_signal(signal.SIGKILL)
    process.communicate()
    content = path.read_bytes()
    assert len(content) == 3_000_000
    assert len(set(content)) == 1


FULL = """
import json, resource, signal, sys
from pathlib import Path
from saddlepoint.writing import write_atomically
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomically(Path(sys.argv[1]), b"b" * 5000)
except OSError as error:
    print(json.dumps(error.errno))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on a file's size to stand for a full disk")
def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"a" * 3000)
    out, _ = start(FULL, path).communicate(timeout=60)
    assert json.loads(out) == errno.EFBIG
    assert path.read_bytes() == b"a" * 3000
    assert list(tmp_path.iterdir()) == [path]
