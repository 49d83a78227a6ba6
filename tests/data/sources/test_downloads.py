"""Shards at URLs, from a server on this machine: order, limit of the cache, and failures."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from shards import write_shards

from saddlepoint.data import DataModule, WebDataset, downloads
from saddlepoint.data.downloads import Downloads
from saddlepoint.data.loader import WorkerLoader
from saddlepoint.data.sources.base import FileColumn
from saddlepoint.data.stream import IndexStream
from saddlepoint.errors import UserError

SHARDS, IMAGES = 12, 10


class Server(ThreadingHTTPServer):
    """Serves a folder, and counts the requests for each file."""

    def __init__(self, folder: Path):
        self.requests: Counter[str] = Counter()
        self.truncated = 0
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests[self.path] += 1
        if self.server.truncated:
            self.server.truncated -= 1
            self.send_response(200)
            self.send_header("Content-Length", "10000")
            self.end_headers()
            self.wfile.write(b"x" * 5000)
            return
        super().do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(downloads, "PAUSES", (0.01, 0.01))
    folder = write_shards(tmp_path / "served", SHARDS, IMAGES)
    with Server(folder) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


PATTERN = "train-{000000..000011}.tar"


def test_the_same_data_as_local_shards_and_each_is_requested_once(tmp_path: Path, server: Server) -> None:
    local = WebDataset(str(tmp_path / "served" / PATTERN), cache_dir=str(tmp_path / "a")).open()
    for _ in range(2):
        remote = WebDataset(server.address(PATTERN), cache_dir=str(tmp_path / "b")).open()
        assert remote.digest == local.digest
        for split in ("train", "held_out"):
            ours, theirs = remote.splits[split][0].columns["images"], local.splits[split][0].columns["images"]
            assert isinstance(ours, FileColumn)
            assert isinstance(theirs, FileColumn)
            assert ours.names == theirs.names
            assert [ours.store.read(name) for name in ours.names] == [theirs.store.read(name) for name in theirs.names]
    assert set(server.requests.values()) == {1}
    assert len(server.requests) == SHARDS
    file = WebDataset(f"file://{tmp_path}/served/{PATTERN}", cache_dir=str(tmp_path / "a")).open()
    assert file.digest == local.digest


def test_addresses_that_differ_in_the_query(tmp_path: Path, server: Server) -> None:
    """The server ignores the query, so that each shard has the same images."""
    pattern = server.address("train-000000.tar?part={0..2}")
    found = WebDataset(pattern, cache_dir=str(tmp_path / "b")).open()
    assert sum(len(tables[0].columns["images"].names) for tables in found.splits.values()) == 3 * IMAGES  # type: ignore[union-attr]


def test_an_epoch_by_two_ranks_with_workers_requests_each_shard_once_and_keeps_the_limit(
    tmp_path: Path, server: Server
) -> None:
    size = (tmp_path / "served" / "train-000000.tar").stat().st_size
    limit = 9 * size
    source = WebDataset(server.address(PATTERN), cache_dir=str(tmp_path / "cache"), cache_gb=limit / 1e9)
    data = DataModule(source, 8, "crop", channels=3, loader="workers", cache_dir=str(tmp_path / "cache"))
    tables, n = data._columns.tables("train", 0, in_memory=False), data.info.sizes["train"]
    server.requests.clear()
    options = {"batch_size": 5, "seed": 0, "stop": n, "world_size": 2}
    loaders = [iter(WorkerLoader(*tables, num_workers=1, rank=rank, **options)) for rank in (0, 1)]  # type: ignore[arg-type]
    batches = [batch for pair in zip(*loaders, strict=True) for batch in pair]
    seen = [image for batch in batches for image in batch.images[:, 0, 0, 0].tolist()]
    assert len(set(seen)) == len(seen) == n
    assert sum(server.requests.values()) <= SHARDS  # those that were still in the cache are not requested again
    assert sum(server.requests.values()) >= SHARDS - 9
    assert sum(file.stat().st_size for file in (tmp_path / "cache" / "downloads").glob("*.tar")) <= limit


def test_the_order_keeps_four_shards_together_and_depends_on_the_position_alone() -> None:
    blocks = [3, 1, 7, 5, 5, 2, 9, 4, 6]
    shard = torch.repeat_interleave(torch.arange(9), torch.tensor(blocks))
    stream = IndexStream(42, seed=3, blocks=blocks)
    epochs = [stream.take(42 * epoch, 42) for epoch in range(3)]
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(42))
        groups, left = [], shard[epoch].tolist()
        while left:  # the rows of the next four shards are the next ones
            group = list(dict.fromkeys(left))[:4]
            count = sum(blocks[one] for one in group)
            assert set(left[:count]) == set(group)
            groups.append(group)
            left = left[count:]
        assert [len(group) for group in groups] == [4, 4, 1]
        assert any(a != b for a, b in pairwise(shard[epoch].sort().values.tolist()))
    assert not torch.equal(epochs[0], epochs[1])
    again = IndexStream(42, seed=3, blocks=blocks)
    assert torch.equal(again.take(100, 20), torch.cat(epochs)[100:120])


def test_a_file_is_downloaded_once_by_several_threads(tmp_path: Path, server: Server) -> None:
    ours = Downloads(tmp_path / "d", 1 << 30)
    with ThreadPoolExecutor(8) as pool:
        files = list(pool.map(lambda _: ours.open(server.address("train-000003.tar")), range(8)))
    expected = (tmp_path / "served" / "train-000003.tar").read_bytes()
    for file in files:
        with file:
            assert file.read() == expected
    assert server.requests == {"/train-000003.tar": 1}


def test_files_that_others_delete_stay_readable(tmp_path: Path, server: Server) -> None:
    """With a limit of one byte, each download deletes the files that the other threads have just downloaded."""
    contents = {f"{index}.tar": bytes([index]) * 1000 for index in range(4)}
    for name, content in contents.items():
        (tmp_path / "served" / name).write_bytes(content)
    ours = Downloads(tmp_path / "d", 1)

    def read(name: str) -> list[bytes]:
        found = []
        for _ in range(100):
            with ours.open(server.address(name)) as file:
                found.append(file.read())
        return found

    with ThreadPoolExecutor(8) as pool:
        names = [*contents, *contents]
        for name, found in zip(names, pool.map(read, names), strict=True):
            assert set(found) == {contents[name]}


def test_an_interrupted_download_is_repeated(tmp_path: Path, server: Server) -> None:
    server.truncated = 2
    with Downloads(tmp_path / "d", 1 << 30).open(server.address("train-000003.tar")) as file:
        assert file.read() == (tmp_path / "served" / "train-000003.tar").read_bytes()
    assert server.requests["/train-000003.tar"] == 3


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://127.0.0.1:9/a.tar", r"http://127.0.0.1:9/a.tar: cannot be downloaded \(.*refused.*\); check the"),
        ("http://[/a.tar", r"cannot be downloaded"),
        ("{}/none.tar", r"none.tar: cannot be downloaded \(HTTP Error 404: File not found\)"),
        ("pipe:cat a.tar", r"pipe: runs a program, which data may not do; give https: or http:"),
        ("s3://bucket/a.tar", r"s3: is not supported; give https: or http:"),
        ("{}/train-000000.tar", r"0.001 GB is too small for 8 shards of .*; set it to at least"),
    ],
)
def test_what_cannot_be_downloaded_is_one_line(tmp_path: Path, server: Server, address: str, message: str) -> None:
    server.truncated = 0
    (tmp_path / "served" / "train-000000.tar").open("ab").truncate(2_000_000)
    url = address.format(server.address("").rstrip("/")) if "{}" in address else address
    with pytest.raises(UserError, match=message) as caught:
        WebDataset(url, cache_dir=str(tmp_path / "cache"), cache_gb=0.001).open()
    assert "\n" not in str(caught.value)
    left = {path.suffix for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert left <= ({".lock"} if "small" not in message else {".lock", ".tar", ".json"})


def test_a_shard_that_changes_on_the_server_is_named(tmp_path: Path, server: Server) -> None:
    address = server.address("train-{000000..000001}.tar")
    WebDataset(address, cache_dir=str(tmp_path / "cache")).open()
    for file in (tmp_path / "cache" / "downloads").glob("*.tar"):
        file.unlink()
    write_shards(tmp_path / "served", 2, 2 * IMAGES)
    contents = WebDataset(address, cache_dir=str(tmp_path / "cache")).open()
    column = contents.splits["train"][0].columns["images"]
    assert isinstance(column, FileColumn)
    message = r"train-00000\d.tar: has been replaced by a file of another size; delete .*cache"
    with pytest.raises(UserError, match=message):
        [column.store.read(name) for name in column.names]
