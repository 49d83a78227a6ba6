"""W&B that is unreachable, never responds or disconnects: training continues, and the run ends without waiting."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from saddlepoint.tracking.wandb_logger import SECONDS_TO_FINISH

KEY = {"WANDB_API_KEY": "0" * 40}
RUN = ("network.width=4", "batch_size=16", "features=none", "callbacks.samples.n=4", "callbacks.history.every_rounds=1")


class Answers(BaseHTTPRequestHandler):
    """The part of W&B's API that is needed to start a run."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        asked = json.loads(body) if self.path.endswith("/graphql") else {}
        name = (asked.get("variables") or {}).get("name") or "run"
        project = {"id": "p", "name": "saddlepoint", "entity": {"id": "e", "name": "me"}}
        bucket = {"id": "b", "name": name, "displayName": name, "config": "{}", "project": project}
        answer = {
            "viewer": {"id": "v", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}},
            "upsertBucket": {"bucket": {**bucket, "historyLineCount": 0}, "inserted": True},
            "createRunFiles": {"runID": "b", "uploadHeaders": [], "files": []},
            "serverInfo": {"features": [], "cliVersionInfo": {"max_cli_version": "9.9.9"}},
            "model": {"bucket": None},
        }
        content = json.dumps({"data": answer} if asked else {}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_PUT = do_GET = do_POST  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Do not log requests."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as answering:
        answering.asked = []  # type: ignore[attr-defined]
        answering.daemon_threads = True
        threading.Thread(target=answering.serve_forever, args=(0.05,), daemon=True).start()
        yield answering
        answering.shutdown()


def address(port: int) -> dict[str, str]:
    return {"WANDB_BASE_URL": f"http://127.0.0.1:{port}", **KEY}


def records(run: Path) -> list[str]:
    return [path.name.split("-")[0] for path in (run / "wandb").glob("*run-*") if path.is_dir()]


@pytest.mark.slow
def test_down_at_the_start(user: Any) -> None:
    since = time.monotonic()
    process = user.finish(*RUN, "budget.images=64", "run.dir=run", environment=address(9))
    assert time.monotonic() - since < 30
    assert "W&B: 127.0.0.1 cannot be reached, so this run is recorded offline" in process.err
    assert records(user.folder / "run") == ["offline"]
    assert len(user.rows(user.folder / "run")) == 4


@pytest.mark.slow
def test_never_answers(user: Any) -> None:
    """A server that accepts the connection and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        since = time.monotonic()
        process = user.start(*RUN, user.long, "run.dir=run", environment=address(silent.getsockname()[1]))
        process.until(lambda: len(user.rows(user.folder / "run")) > 3)
        assert time.monotonic() - since < 30 + 10
        process.send_group(15)
        assert process.wait() == 143
    assert "W&B: cannot start online" in process.err
    assert "offline" in records(user.folder / "run")


@pytest.mark.slow
def test_lost_in_the_middle(user: Any, server: ThreadingHTTPServer) -> None:
    run = user.folder / "run"
    process = user.start(*RUN, "budget.images=20_000", "run.dir=run", environment=address(server.server_address[1]))
    process.until(lambda: len(user.rows(run)) > 50)
    assert server.asked, "the run is online"  # type: ignore[attr-defined]
    assert "offline" not in process.err
    server.shutdown()
    server.server_close()
    process.until(lambda: (run / "summary.json").exists())
    assert process.wait(SECONDS_TO_FINISH + 30) == 0
    assert user.rows(run)[-1]["images_seen"] == 20_000
    assert records(run) == ["run"], "what was not uploaded can be, with `wandb sync`"
    assert process.no_orphans()


@pytest.mark.slow
def test_neither_key_nor_terminal(user: Any) -> None:
    process = user.finish(*RUN, "budget.images=64", "run.dir=run")
    assert [line for line in process.err.splitlines() if "W&B" in line or "wandb" in line.lower()] == [
        "W&B: no API key found, so this run is recorded offline (upload it later with `wandb sync`)"
    ]
    assert records(user.folder / "run") == ["offline"]
