"""Parquet and Arrow files, read by the library datasets."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shards import png, write_parquet

from saddlepoint.data import HuggingFace
from saddlepoint.data.sources.base import Contents, FileColumn
from saddlepoint.errors import UserError

pa = pytest.importorskip("pyarrow", reason="the extra huggingface is not installed")


@pytest.fixture
def source(tmp_path: Path) -> Callable[..., HuggingFace]:
    def make(root: Path | str, **options: Any) -> HuggingFace:
        return HuggingFace(str(root), cache_dir=str(tmp_path / "cache"), **options)

    return make


def rows(contents: Contents, split: Any) -> list[tuple[bytes, int | None]]:
    """Return the bytes and the label of each image of a split."""
    table = contents.splits[split][0]
    column = table.columns["images"]
    assert isinstance(column, FileColumn)
    labels = [None] * len(table) if table.labels is None else table.labels.tolist()
    return [(column.store.read(name), label) for name, label in zip(column.names, labels, strict=True)]


def written(*numbers: int) -> list[tuple[bytes, int | None]]:
    return [(png(row), row % 3) for row in numbers]


@pytest.mark.parametrize("image", ["struct", "binary"])
def test_a_file_is_split_by_hash(tmp_path: Path, source: Any, image: str) -> None:
    contents = source(write_parquet(tmp_path / "pictures.parquet", range(40), image)).open()
    assert sorted(rows(contents, "train") + rows(contents, "held_out")) == sorted(written(*range(40)))
    assert contents.class_names == ("0", "1", "2")
    assert 2 <= len(contents.splits["held_out"][0]) < 12
    assert source(tmp_path / "pictures.parquet").name == "pictures"
    column = contents.splits["train"][0].columns["images"]
    assert isinstance(column, FileColumn)
    assert [column.store.size(name) for name in column.names] == [len(raw) for raw, _ in rows(contents, "train")]
    assert [raw for raw, _ in rows(pickle.loads(pickle.dumps(contents)), "train")] == [
        raw for raw, _ in rows(contents, "train")
    ]


@pytest.mark.parametrize("held_out", ["test", "validation"])
def test_a_folder_has_the_splits_of_its_files(tmp_path: Path, source: Any, held_out: str) -> None:
    write_parquet(tmp_path / "s" / "train-00000-of-00002.parquet", range(10))
    write_parquet(tmp_path / "s" / "train-00001-of-00002.parquet", range(10, 20))
    write_parquet(tmp_path / "s" / f"{held_out}-00000-of-00001.parquet", range(20, 25))
    contents = source(tmp_path / "s").open()
    assert rows(contents, "train") == written(*range(20))
    assert rows(contents, "held_out") == written(*range(20, 25))
    (tmp_path / "s" / "README.md").write_text("files of other kinds are ignored")
    assert source(tmp_path / "s").open().digest == contents.digest
    together = source(tmp_path / "s" / "train-*.parquet").open()
    assert sorted(rows(together, "train") + rows(together, "held_out")) == sorted(written(*range(20)))


def test_classes_keep_their_names(tmp_path: Path, source: Any) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"img": datasets.Image(), "kind": datasets.ClassLabel(names=["eel", "cat"])})
    for split, kinds in (("train", [1, 0, 0, 1]), ("test", [0, -1])):
        images = [{"bytes": png(row), "path": None} for row in range(len(kinds))]
        table = datasets.Dataset.from_dict({"img": images, "kind": kinds}, features=features)
        table.to_parquet(tmp_path / "s" / f"{split}.parquet")
    with pytest.raises(UserError, match="kind of the held_out split has values that are no class, such as -1; set it"):
        source(tmp_path / "s").open()
    assert source(tmp_path / "s", label="none").open().class_names is None
    contents = source(tmp_path / "s" / "train.parquet").open()
    assert contents.class_names == ("eel", "cat")
    assert sorted(label for split in ("train", "held_out") for _, label in rows(contents, split)) == [0, 0, 1, 1]


def test_arrow_files_and_images_in_files_beside_them(tmp_path: Path, source: Any) -> None:
    (tmp_path / "s").mkdir()
    paths = []
    for row in range(6):
        paths.append(str(tmp_path / f"{row}.png"))
        Path(paths[-1]).write_bytes(png(row))
    table = pa.table({"image": [{"bytes": None, "path": path} for path in paths]})
    with pa.OSFile(str(tmp_path / "s" / "train.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    contents = source(tmp_path / "s").open()
    assert {raw for split in ("train", "held_out") for raw, _ in rows(contents, split)} == {
        png(row) for row in range(6)
    }
    Path(paths[3]).unlink()
    with pytest.raises(UserError, match="row 3 has no image; remove the row"):
        source(tmp_path / "s").open()


def test_a_changed_file_is_read_again(tmp_path: Path, source: Any) -> None:
    path = write_parquet(tmp_path / "a.parquet", range(20))
    before = source(path).open().digest
    assert source(path.rename(tmp_path / "b.parquet")).open().digest == before
    write_parquet(path, [*range(19), 20])
    assert source(path).open().digest != before


COLUMNS: dict[str, tuple[dict[str, Any], dict[str, Any], str | None, str]] = {
    "no images": ({"text": ["a"] * 4}, {}, "root", "no column of encoded images among text; store them"),
    "two columns of images": ({"a": [b"x"] * 4, "b": [b"x"] * 4}, {}, "image", "has several: a, b; set it to one"),
    "an unknown image": ({"a": [b"x"] * 4}, {"image": "c"}, "image", "'c' is not a column"),
    "an image of text": ({"a": [b"x"] * 4, "t": ["x"] * 4}, {"image": "t"}, "image", "'t' has another type"),
    "labels of words": ({"a": [b"x"] * 4, "t": ["x"] * 4}, {"label": "t"}, "label", "'t' has another type"),
    "missing labels": ({"a": [b"x"] * 4, "label": [1, None, 1, 1]}, {}, "label", "1 rows of label have no label"),
    "no split of the name": ({"a": [b"x"] * 4}, {"held_out": "dev"}, "held_out", "no split 'dev'"),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_what_is_missing_is_one_line(tmp_path: Path, source: Any, name: str) -> None:
    import pyarrow.parquet as pq

    columns, options, key, message = COLUMNS[name]
    pq.write_table(pa.table(columns), tmp_path / "s.parquet")
    with pytest.raises(UserError, match=message) as caught:
        source(tmp_path / "s.parquet", **options).open()
    assert caught.value.key == key
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_are_one_line(tmp_path: Path, source: Any) -> None:
    (tmp_path / "s.parquet").write_bytes(b"no parquet")
    for root, message in (
        ("s.parquet", "cannot be read .*magic bytes"),
        ("t.parquet", "cannot be read .*t.parquet"),
        ("u*.parquet", "no .parquet"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            source(tmp_path / root).open()
        assert "\n" not in str(caught.value)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, source: Any) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)  # as if it were not installed
    with pytest.raises(UserError, match=r'not installed; pip install "saddlepoint\[huggingface\]"'):
        source("s.parquet").open()


def test_without_a_network(monkeypatch: pytest.MonkeyPatch, source: Any) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # which $HF_HUB_OFFLINE sets
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"nobody/nothing: cannot be read .*Couldn't reach 'nobody/nothing'") as caught:
        source("nobody/nothing").open()
    assert "\n" not in str(caught.value)
