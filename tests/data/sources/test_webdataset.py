"""Tar shards: what is read, what is refused, and that every sample is drawn once an epoch on every number of ranks."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from shards import noise, png, write_shards, write_tar

from saddlepoint.data import DataModule, WebDataset
from saddlepoint.data.loader import MemoryLoader, WorkerLoader
from saddlepoint.data.sources.base import Contents, FileColumn
from saddlepoint.errors import UserError


@pytest.fixture
def source(tmp_path: Path) -> Callable[..., WebDataset]:
    """Return a function that makes a source with a cache of its own."""

    def make(root: Path | str, **options: Any) -> WebDataset:
        return WebDataset(str(root), cache_dir=str(tmp_path / "cache"), **options)

    return make


def rows(contents: Contents, split: Any) -> dict[str, tuple[bytes, int | None]]:
    """Return the bytes and the label of each image of a split."""
    table = contents.splits[split][0]
    column = table.columns["images"]
    assert isinstance(column, FileColumn)
    labels = [None] * len(table) if table.labels is None else table.labels.tolist()
    return {name: (column.store.read(name), label) for name, label in zip(column.names, labels, strict=True)}


def test_images_and_labels_are_those_written(tmp_path: Path, source: Any) -> None:
    contents = source(write_shards(tmp_path / "s")).open()
    found = rows(contents, "train") | rows(contents, "held_out")
    assert found == {f"train-{row // 20:06d}.tar/{row:06d}.png": (png(row), row % 3) for row in range(60)}
    assert contents.class_names == ("0", "1", "2")
    assert 2 <= len(contents.splits["held_out"][0]) < 15


@pytest.mark.parametrize(
    "pattern", ["train-{000000..000002}.tar", "train-{000000,000001,000002}.tar", "train-*.tar", "", "train-00000?.tar"]
)
def test_all_patterns_name_the_same_data(tmp_path: Path, source: Any, pattern: str) -> None:
    folder = write_shards(tmp_path / "s")
    assert source(folder / pattern).open().digest == source(folder).open().digest


def test_a_single_file_that_has_moved_has_the_same_digest(tmp_path: Path, source: Any) -> None:
    first = write_shards(tmp_path / "s", shards=1) / "train-000000.tar"
    digest = source(first).open().digest
    (tmp_path / "elsewhere").mkdir()
    assert source(first.rename(tmp_path / "elsewhere" / first.name)).open().digest == digest


def test_shards_named_by_their_split(tmp_path: Path, source: Any) -> None:
    folder = write_shards(tmp_path / "s")
    write_shards(folder, shards=2, images=5, name="val", first=100)
    contents = source(folder).open()
    assert {int(name[-10:-4]) for name in rows(contents, "train")} == set(range(60))
    assert {int(name[-10:-4]) for name in rows(contents, "held_out")} == set(range(100, 110))
    given = source(folder / "val-*.tar", held_out=str(folder / "train-{000001..000001}.tar")).open()
    assert len(given.splits["train"][0]) == 10
    assert len(given.splits["held_out"][0]) == 20


def test_members_as_tar_writes_them(tmp_path: Path, source: Any) -> None:
    """A leading ``./``, folders, long names, JSON labels, other members, and the hidden files of macOS."""
    long = "a" * 180
    members = [
        ("./x/1.v2.jpg", noise(1)),
        ("./x/1.json", b'{"label": 5, "caption": "an eel"}'),
        ("./x/._1.v2.jpg", b"resource fork"),
        (f"{long}/2.JPG", noise(2)),
        (f"{long}/2.json", b'{"label": 9}'),
        (f"{long}/2.txt", b"no label"),
        ("3.jpg", noise(3)),
        ("3.cls", b"7\n"),
        ("3.json", b'{"label": 1}'),
        ("4.txt", b"a sample without an image"),
    ]
    contents = source(write_tar(tmp_path / "s.tar", members)).open()
    found = rows(contents, "train") | rows(contents, "held_out")
    assert contents.class_names == ("5", "7", "9")
    assert found == {
        "s.tar/x/1.v2.jpg": (noise(1), 0),
        f"s.tar/{long}/2.JPG": (noise(2), 2),
        "s.tar/3.jpg": (noise(3), 1),
    }


def test_one_of_several_images_is_chosen_by_its_suffix(tmp_path: Path, source: Any) -> None:
    members = [
        (f"{i}.{suffix}", noise(i + 50 * (suffix == "seg.png"))) for i in range(9) for suffix in ("png", "seg.png")
    ]
    path = write_tar(tmp_path / "s.tar", members)
    with pytest.raises(UserError, match=r"s.tar/0.png and 0.seg.png are .*; set it to png or seg.png") as caught:
        source(path).open()
    assert caught.value.key == "image"
    contents = source(path, image="seg.png").open()
    assert (rows(contents, "train") | rows(contents, "held_out"))["s.tar/4.seg.png"] == (noise(54), None)


def symlink(path: Path) -> None:
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo("link.png")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)


def device(path: Path) -> None:
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo("null.png")
        member.type = tarfile.CHRTYPE
        tar.addfile(member)


def large(path: Path) -> None:
    """A sparse file of a terabyte, so that only the header says it."""
    member = tarfile.TarInfo("large.png")
    member.size = 1 << 40
    path.write_bytes(member.tobuf())
    os.truncate(path, (1 << 40) + 2048)


def change(position: int, content: bytes) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        raw = bytearray(path.read_bytes())
        raw[position : position + len(content)] = content
        path.write_bytes(raw)

    return apply


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a symbolic link": (symlink, "'link.png' is neither a file nor a folder; remove it"),
    "a device": (device, "'null.png' is neither a file nor a folder; remove it"),
    "a path outside": (lambda path: write_tar(path, [("../1.png", b"")]), r"'../1.png' points outside the archive"),
    "an absolute path": (lambda path: write_tar(path, [("/1.png", b"")]), r"'/1.png' points outside the archive"),
    "a huge member": (large, r"large.png: 1,099,511,627,776 bytes, more than 268,435,456"),
    "gzip": (
        lambda path: path.write_bytes(gzip.compress(path.read_bytes())),
        "compressed with gzip, which does not allow random access .* plain",
    ),
    "bzip2": (lambda path: path.write_bytes(bz2.compress(path.read_bytes())), "compressed with bzip2"),
    "xz": (lambda path: path.write_bytes(lzma.compress(path.read_bytes())), "compressed with xz"),
    "no tar": (lambda path: path.write_bytes(b"shard" * 1000), "not a readable tar file .*; copy or download it again"),
    "empty": (lambda path: path.write_bytes(b""), "not a readable tar file"),
    "cut in a member": (lambda path: os.truncate(path, 3 * 512 + 10), "not a readable tar file"),
    "cut in a header": (lambda path: os.truncate(path, 4 * 512 + 10), "not a readable tar file"),
    "cut between members": (lambda path: os.truncate(path, 4 * 512), "truncated after 2,048 bytes"),
    "a damaged header": (change(4 * 512 + 150, b"x"), "damaged or truncated after 2,048 bytes"),
    "a header of a negative size": (change(124, b"\xff" * 12), "not a readable tar file"),
    "a name twice": (lambda path: write_tar(path, [("1.png", b"a"), ("1.png", b"b")]), "two members are called 1.png"),
    "a word as label": (
        lambda path: write_tar(path, [("1.png", b""), ("1.cls", b"cat")]),
        "1.cls: 'cat' is not an int",
    ),
    "a label of more than 64 bits": (
        lambda path: write_tar(path, [("1.png", b""), ("1.cls", b"9" * 23)]),
        "1.cls: '99999999999999999999' is not an integer of 64 bits",
    ),
    "damaged JSON": (lambda path: write_tar(path, [("1.png", b""), ("1.json", b"{")]), "1.json: not valid JSON"),
    "labels of some": (
        lambda path: write_tar(path, [("1.png", b""), ("2.png", b""), ("2.cls", b"1")]),
        "s.tar/1.png and 0 more have no label, but others do; set it to none",
    ),
    "no images": (lambda path: write_tar(path, [("1.txt", b"")]), "no images; give .tar files"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, source: Any, name: str) -> None:
    damage, message = DAMAGE[name]
    path = write_tar(tmp_path / "s.tar", [(f"{i}.png", noise(i)) for i in range(9)])
    damage(path)
    with pytest.raises(UserError, match=message) as caught:
        source(path).open()
    assert "\n" not in str(caught.value)
    assert "s.tar" in str(caught.value)
    assert not (tmp_path / "cache" / "shards").exists() or name in ("labels of some", "no images")


@pytest.mark.parametrize(
    ("pattern", "message"), [("no-{0..3}.tar", r"no-0.tar: no such file"), ("x*.tar", r"no .tar files")]
)
def test_missing_shards_are_named(tmp_path: Path, source: Any, pattern: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        source(tmp_path / pattern).open()


def test_an_index_is_read_once_and_again_after_a_change(tmp_path: Path, source: Any) -> None:
    path = write_tar(tmp_path / "s.tar", [(f"{i}.png", noise(i)) for i in range(9)])
    before, written = source(path).open(), path.stat()
    (index,) = (tmp_path / "cache" / "shards").iterdir()
    other = [(f"{i}.png", noise(i)[:-1] + b"x") for i in range(9)]
    os.utime(write_tar(path, other), ns=(written.st_atime_ns, written.st_mtime_ns))
    assert source(path).open().digest == before.digest  # the headers were not read again
    os.utime(path)
    assert source(path).open().digest != before.digest
    assert len(list(index.parent.iterdir())) == 2
    for file in index.parent.iterdir():
        file.write_bytes(b"{}")
    assert source(path).open().digest != before.digest


def test_a_shard_that_is_replaced_while_it_is_read_is_named(tmp_path: Path, source: Any) -> None:
    path = write_tar(tmp_path / "s.tar", [(f"{i}.png", noise(i)) for i in range(9)])
    contents = source(path).open()
    write_tar(path, [("0.png", noise(0))] * 40)
    with pytest.raises(UserError, match="replaced by a file of another size"):
        rows(contents, "train")


def test_a_store_can_be_sent_to_another_process(tmp_path: Path, source: Any) -> None:
    contents = source(write_shards(tmp_path / "s")).open()
    before = rows(contents, "train")
    assert rows(pickle.loads(pickle.dumps(contents)), "train") == before


@pytest.mark.parametrize("ranks", [1, 2])
def test_every_image_is_drawn_once_an_epoch(tmp_path: Path, source: Any, ranks: int) -> None:
    """By two worker processes a rank; the batches are those of the loader that keeps images in memory."""
    data = DataModule(source(write_shards(tmp_path / "s")), cache_dir=str(tmp_path / "cache"), loader="workers")
    tables = {loader: data._columns.tables("train", 0, loader == "memory") for loader in ("memory", "workers")}
    n = data.info.sizes["train"]
    drawn = []
    for rank in range(ranks):
        options = {"batch_size": 7, "seed": 0, "stop": 2 * n, "rank": rank, "world_size": ranks}
        for ours, theirs in zip(
            WorkerLoader(*tables["workers"], num_workers=2, **options),
            MemoryLoader(*tables["memory"], **options),
            strict=True,
        ):
            assert torch.equal(ours.images, theirs.images)
            assert torch.equal(ours.labels, theirs.labels)
            values = ((ours.images[:, 0, 0, 0] + 1) * 127.5).round().long()
            assert torch.equal(values % 3, ours.labels)
            drawn += values.tolist()
    counts = np.bincount(drawn)
    assert sorted(counts[counts > 0].tolist()) == [2] * n
